//! Who of many callers at one door gets in, when each may be a machine that wants all of it.
//!
//! A machine may hold an eighth of what is free just then, so one machine alone gets much, many get
//! little each, and there is always something left for one that comes new. A machine is told by the
//! /112 of its address, which its link holds it to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// A machine may hold so much of what is free: one part in…
const SHARE: usize = 8;

/// Bits of an IPv6 address that a machine varies as it likes: it owns a whole /112.
const OWN_BITS: u32 = 16;

/// Who holds how many connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Neighbours {
    held: Arc<Mutex<HashMap<u128, usize>>>,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    held: Arc<Mutex<HashMap<u128, usize>>>,
    who: u128,
}

impl Neighbours {
    /// A place for a connection from `source` while `n_free` connections are free, this one
    /// included; `None` when it has its share.
    pub(super) fn admit(&self, source: IpAddr, n_free: usize) -> Option<Place> {
        let who = match source {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits() >> OWN_BITS,
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.entry(who).or_default();
        if *own >= n_free.div_ceil(SHARE) {
            return None;
        }
        *own += 1;
        Some(Place { held: Arc::clone(&self.held), who })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = held.get_mut(&self.who) {
            *own -= 1;
            if *own == 0 {
                held.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(n: u16) -> IpAddr {
        IpAddr::from([0xfdaa, 0, 1, 0xa7b, 0, 0, n, 2])
    }

    #[test]
    fn one_machine_gets_a_share_and_many_leave_something_for_the_next() {
        const ALL: usize = 64;
        let neighbours = Neighbours::default();
        let mut taken = Vec::new();
        for n in 0..20 {
            while let Some(place) = neighbours.admit(machine(n), ALL - taken.len()) {
                taken.push(place);
            }
            if n == 0 {
                assert_eq!(taken.len(), 8);
            }
        }
        assert!(taken.len() < ALL, "{} of {ALL}", taken.len());
        assert!(neighbours.admit(machine(99), ALL - taken.len()).is_some());
        taken.clear();
        assert!(neighbours.held.lock().expect("whole").is_empty(), "nothing is remembered");
    }

    #[test]
    fn all_addresses_of_a_machine_share() {
        let neighbours = Neighbours::default();
        let other = IpAddr::from([0xfdaa, 0, 1, 0xa7b, 0, 0, 1, 7]);
        let place = neighbours.admit(machine(1), 8);
        assert!(place.is_some());
        assert!(neighbours.admit(other, 7).is_none());
        drop(place);
        assert!(neighbours.admit(other, 8).is_some());
    }
}
