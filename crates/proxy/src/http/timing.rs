//! Where the time of a wake went, for the visitor's tools.

use crate::desk::Woken;
use std::fmt::Write as _;
use std::time::Duration;

/// The header `Server-Timing` of an answer for which a machine was woken, in milliseconds.
pub(crate) fn server_timing(woken: &Woken) -> String {
    let timing = &woken.timing;
    let parts = [
        ("admission", timing.admission_us),
        ("commit", timing.commit_us),
        ("net", timing.net_us),
        ("disk", timing.disk_us),
        ("engine", timing.engine_us),
        ("listen", timing.listen_us),
        ("hold", micros(woken.held)),
    ];
    let mut text = String::new();
    for (name, us) in parts {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let written = write!(text, "{comma}{name};dur={}.{:03}", us / 1000, us % 1000);
        debug_assert!(written.is_ok(), "a string takes all text");
    }
    text
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Woken, server_timing};
    use proxy_proto::message::KnockTiming;

    #[test]
    fn times_are_in_milliseconds_in_the_order_of_a_wake() {
        let timing = KnockTiming {
            admission_us: 1,
            commit_us: 1500,
            net_us: 20_000,
            disk_us: 0,
            engine_us: 999,
            listen_us: 1000,
        };
        let woken =
            Woken { decision: String::new(), timing, held: Duration::from_micros(23_500_000) };
        assert_eq!(
            server_timing(&woken),
            "admission;dur=0.001, commit;dur=1.500, net;dur=20.000, disk;dur=0.000, \
             engine;dur=0.999, listen;dur=1.000, hold;dur=23500.000"
        );
    }
}
