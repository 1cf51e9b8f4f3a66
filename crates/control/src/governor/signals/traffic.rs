//! With whom a machine speaks, besides the proxy and the router. Pure.

use model::UnixMs;
use net::router::{Flow, is_of_router};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::time::Instant;

/// A connection without bytes for so long is quiet. Source: design, section 6.
const QUIET: Duration = Duration::from_secs(60);

/// One flow, as one of its two machines sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Talk {
    pub(super) id: u32,
    /// The machine began it.
    pub(super) is_outbound: bool,
    /// It goes on, as far as the kernel knows.
    pub(super) is_open: bool,
    /// Bytes so far, both ways; `None`: nobody counts.
    pub(super) bytes: Option<u64>,
}

/// All flows, by the machines that take part.
#[derive(Debug, Default)]
pub(super) struct Talks(HashMap<IpAddr, Vec<Talk>>);

impl Talks {
    /// Sorts flows by their ends. What the proxy, the resolver or the API take part in is counted by
    /// these, or is none of a machine's work.
    pub(super) fn of(flows: &[Flow]) -> Self {
        let mut talks = Self::default();
        for flow in flows {
            let ends = [(flow.from, flow.to, true), (flow.to, flow.from, false)];
            for (own, other, is_outbound) in ends {
                if !is_of_router(own) && !is_of_router(other) {
                    let Flow { id, is_open, bytes, .. } = *flow;
                    let talk = Talk { id, is_outbound, is_open, bytes };
                    talks.0.entry(key(own)).or_default().push(talk);
                }
            }
        }
        talks
    }

    /// Those of the machine with these addresses.
    pub(super) fn with(&self, addresses: &net::MachineAddrs) -> Vec<Talk> {
        let own = [addresses.v4.into(), addresses.v6.into()].map(key);
        own.iter().filter_map(|own| self.0.get(own)).flatten().copied().collect()
    }
}

/// One for all addresses of a machine: it owns the /112 around its own.
fn key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !0xffff).into(),
    }
}

/// What one machine's flows have done since they were first looked at.
#[derive(Debug)]
pub(super) struct Traffic {
    known: HashMap<u32, Seen>,
    /// When the last byte was seen. The first look counts as one: nobody knows better.
    pub(super) last: UnixMs,
    /// Flows that the machine began, open, with bytes in the last minute.
    pub(super) n_out: u32,
    /// The same of those that others began.
    pub(super) n_in: u32,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    bytes: Option<u64>,
    last: Instant,
}

impl Traffic {
    /// Nothing has been seen yet.
    pub(super) fn begin(now: UnixMs) -> Self {
        Self { known: HashMap::new(), last: now, n_out: 0, n_in: 0 }
    }

    /// Takes a look made at `now`, `at` on the monotonic clock.
    pub(super) fn looked(self, talks: &[Talk], now: UnixMs, at: Instant) -> Self {
        let mut next = Self::begin(self.last);
        for talk in talks.iter().filter(|talk| talk.is_open) {
            let before = self.known.get(&talk.id);
            let is_quiet = |seen: &&Seen| seen.bytes == talk.bytes && talk.bytes.is_some();
            let seen = match before.filter(is_quiet) {
                Some(seen) => *seen,
                None => {
                    next.last = next.last.max(now);
                    Seen { bytes: talk.bytes, last: at }
                }
            };
            next.known.insert(talk.id, seen);
            if at.saturating_duration_since(seen.last) < QUIET {
                *(if talk.is_outbound { &mut next.n_out } else { &mut next.n_in }) += 1;
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::DurationMs;

    const START: UnixMs = UnixMs(1_800_000_000_000);

    fn talk(id: u32, is_outbound: bool, bytes: u64) -> Talk {
        Talk { id, is_outbound, is_open: true, bytes: Some(bytes) }
    }

    struct Bench {
        traffic: Traffic,
        began: Instant,
        second: u64,
    }

    impl Bench {
        fn new() -> Self {
            Self { traffic: Traffic::begin(START), began: Instant::now(), second: 0 }
        }

        fn look(&mut self, second: u64, talks: &[Talk]) {
            self.second = second;
            let traffic = std::mem::replace(&mut self.traffic, Traffic::begin(START));
            let at = self.began + Duration::from_secs(second);
            self.traffic = traffic.looked(talks, START.plus(DurationMs::from_secs(second)), at);
        }

        #[track_caller]
        fn check(&self, n_out: u32, n_in: u32, last_s: u64) {
            let Traffic { n_out: o, n_in: i, last, .. } = &self.traffic;
            let expected = (n_out, n_in, START.plus(DurationMs::from_secs(last_s)));
            assert_eq!((*o, *i, *last), expected, "second {}", self.second);
        }
    }

    #[test]
    fn a_connection_counts_for_a_minute_after_its_last_byte() {
        let mut bench = Bench::new();
        bench.look(0, &[]);
        bench.check(0, 0, 0);
        bench.look(5, &[talk(1, true, 10)]);
        bench.check(1, 0, 5);
        bench.look(64, &[talk(1, true, 10)]);
        bench.check(1, 0, 5);
        bench.look(65, &[talk(1, true, 10)]);
        bench.check(0, 0, 5);
        bench.look(70, &[talk(1, true, 11)]);
        bench.check(1, 0, 70);
    }

    #[test]
    fn a_connection_that_ends_counts_no_more() {
        let mut bench = Bench::new();
        bench.look(5, &[talk(1, true, 10), talk(2, false, 5)]);
        bench.check(1, 1, 5);
        bench.look(10, &[Talk { is_open: false, ..talk(1, true, 500) }, talk(2, false, 5)]);
        bench.check(0, 1, 5);
        bench.look(15, &[]);
        bench.check(0, 0, 5);
    }

    #[test]
    fn what_nobody_counts_is_never_quiet() {
        let mut bench = Bench::new();
        let uncounted = Talk { bytes: None, ..talk(1, true, 0) };
        bench.look(0, &[uncounted]);
        bench.look(600, &[uncounted]);
        bench.check(1, 0, 600);
    }

    #[test]
    fn flows_belong_to_their_ends_and_those_of_the_router_to_nobody() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let flow =
            |id, from, to| Flow { id, from: ip(from), to: ip(to), is_open: true, bytes: Some(1) };
        let talks = Talks::of(&[
            flow(1, "100.64.0.1", "100.64.0.2"),
            flow(2, "fdaa:1:2:a7b:1:2:3:2", "2001:db8::1"),
            flow(3, "fdaa:1:2:a7b:1:2:3:7", "2001:db8::1"),
            flow(4, "169.254.1.1", "100.64.0.1"),
            flow(5, "100.64.0.1", "169.254.1.1"),
            flow(6, "fdaa:1:2:a7b:1:2:3:2", "fdaa::3"),
            flow(7, "fdaa::1", "fdaa:1:2:a7b:1:2:3:2"),
        ]);
        let of = |v4: &str, v6: &str| {
            let addresses = net::MachineAddrs {
                v4: v4.parse().expect("an address"),
                v6: v6.parse().expect("an address"),
            };
            let with = talks.with(&addresses);
            with.iter().map(|talk| (talk.id, talk.is_outbound)).collect::<Vec<_>>()
        };
        let all = [(1, true), (2, true), (3, true)];
        assert_eq!(of("100.64.0.1", "fdaa:1:2:a7b:1:2:3:2"), all);
        assert_eq!(of("100.64.0.2", "fdaa:1:2:a7b:9:9:9:2"), [(1, false)]);
    }
}
