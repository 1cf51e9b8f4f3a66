//! CLOCK_MONOTONIC in nanoseconds: the one clock that host and machines share.

use rustix::time::{ClockId, clock_gettime};

/// Now.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let s = u64::try_from(now.tv_sec).expect("this clock starts at zero");
    let ns = u64::try_from(now.tv_nsec).expect("a fraction of a second is not negative");
    s * 1_000_000_000 + ns
}

/// Milliseconds from `since_ns` to `until_ns`.
pub(crate) fn ms_between(since_ns: u64, until_ns: u64) -> f64 {
    ns_to_ms(until_ns.saturating_sub(since_ns))
}

/// Nanoseconds as milliseconds.
pub(crate) fn ns_to_ms(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64() * 1e3
}
