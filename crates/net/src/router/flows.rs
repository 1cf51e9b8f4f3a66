//! Who speaks with whom now: the connections through the router, counted by the kernel.
//!
//! The kernel tracks every packet of the router namespace anyway, for answers to pass; asking it
//! needs no help from machines and works alike for every engine.

use super::conntrack::{self, Flow};
use super::{ROUTER_V4, Router};
use crate::addr::V6_SITE;
use crate::error::{Error, Result};
use crate::sysctl;
use netlink::{Protocol, Socket};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Lists the flows of one router.
#[derive(Debug)]
pub struct Flows(Mutex<Socket>);

impl Flows {
    /// Begins to count bytes, for flows that begin from now on.
    ///
    /// # Errors
    /// The kernel tracks no connections, or cannot be asked.
    pub fn open(router: &Router) -> Result<Self> {
        let socket = router.open_in_router(|| {
            sysctl::set("netfilter/nf_conntrack_acct", "1")?;
            Ok::<_, Error>(Socket::open_for(Protocol::Rules)?)
        })??;
        Ok(Self(Mutex::new(socket)))
    }

    /// All flows there are, also those that have ended and are still remembered.
    ///
    /// Takes some microseconds for each; blocks meanwhile.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn list(&self) -> Result<Vec<Flow>> {
        conntrack::flows(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether this is an address of the router itself: the proxy's, the resolver's, the API's.
#[must_use]
pub fn is_of_router(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4 == ROUTER_V4,
        IpAddr::V6(v6) => matches!(v6.segments(), [V6_SITE, 0, 0, ..]),
    }
}
