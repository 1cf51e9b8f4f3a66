//! How fast the host's time stamp counter runs.
//!
//! An emulated processor shows the host's counter as its own. A guest's kernel reads the time from it, and
//! has nothing to measure it by: what it is told is how fast its clocks run.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Between two looks. Each is right to some hundred nanoseconds, so the rate to some millionths.
const INTERVAL: Duration = Duration::from_millis(100);

/// Readings of which the fastest counts: others were interrupted.
const READINGS: usize = 64;

/// The rate is rounded to this many kHz, four millionths of it: what is measured again is mostly the same
/// then, and what was made of it can be used again.
const GRAIN_KHZ: u64 = 10;

/// The rate in kHz, rounded. Takes 0.1 s.
#[must_use]
pub fn host_khz() -> u32 {
    let first = look();
    std::thread::sleep(INTERVAL);
    let second = look();
    let ticks = second.ticks.wrapping_sub(first.ticks);
    let ns = second.ns.saturating_sub(first.ns).max(1);
    let khz = u128::from(ticks) * 1_000_000 / u128::from(ns);
    let khz = u64::try_from(khz).unwrap_or(0);
    u32::try_from((khz + GRAIN_KHZ / 2) / GRAIN_KHZ * GRAIN_KHZ).unwrap_or(0)
}

/// The counter at a moment.
#[derive(Clone, Copy, Debug)]
struct Look {
    ticks: u64,
    ns: u64,
    /// Time that reading it took, in nanoseconds.
    took_ns: u64,
}

fn look() -> Look {
    let read = |_| {
        let before = monotonic_ns();
        let ticks = counter();
        let took_ns = monotonic_ns() - before;
        Look { ticks, ns: before + took_ns / 2, took_ns }
    };
    (0..READINGS).map(read).min_by_key(|look| look.took_ns).expect("there are some")
}

#[allow(unsafe_code, reason = "an instruction without a safe wrapper")]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, which touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::host_khz;

    #[test]
    fn the_rate_is_the_same_each_time() {
        let (first, second) = (host_khz(), host_khz());
        assert!(first > 500_000, "{first} kHz");
        assert!(first.abs_diff(second) <= first / 10_000, "{first} and {second} kHz");
    }
}
