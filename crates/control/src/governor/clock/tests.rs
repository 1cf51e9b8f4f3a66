//! Tests of `clock`.
//!
//! That the kernel cancels the timer is tried in guests (`own_clock` in the tests of hosts).
//! `CLOCK_REALTIME` is one for all of a host: time namespaces move the monotonic clocks only
//! (time_namespaces(7)), and a timer is cancelled only when the distance between the two has changed,
//! so setting the clock to what it says does nothing (`timerfd_clock_was_set` in fs/timerfd.c of
//! Linux). Here it is tried that the kernel holds the timer as one that it cancels, and that it tells
//! of nothing while nothing happens.

use super::*;
use model::DurationMs;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When tests begin, on the wall.
pub(in crate::governor) const START: UnixMs = UnixMs(1_800_000_000_000);

/// A wall clock that follows the runtime's clock, and can be set.
#[derive(Clone, Debug)]
pub(in crate::governor) struct TestClock {
    began: Instant,
    base: Arc<AtomicU64>,
}

impl TestClock {
    pub(in crate::governor) fn new() -> Self {
        Self { began: Instant::now(), base: Arc::new(AtomicU64::new(START.0)) }
    }

    /// What the governor is given.
    pub(in crate::governor) fn clock(&self) -> Clock {
        let clock = self.clone();
        Clock(Arc::new(move || clock.now()))
    }

    pub(in crate::governor) fn now(&self) -> UnixMs {
        let passed = u64::try_from(self.began.elapsed().as_millis()).expect("a short test");
        UnixMs(self.base.load(Ordering::Relaxed) + passed)
    }

    /// Sets the clock forward.
    pub(in crate::governor) fn jump(&self, by: DurationMs) {
        self.base.fetch_add(by.0, Ordering::Relaxed);
    }

    /// Sets the clock back.
    pub(in crate::governor) fn jump_back(&self, by: DurationMs) {
        self.base.fetch_sub(by.0, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_goes_as_it_should_has_no_drift() {
    let test = TestClock::new();
    let clock = test.clock();
    let mut drift = Drift::from(&clock);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(drift.take(&clock), 0);
    test.jump(DurationMs(700));
    assert_eq!(drift.take(&clock), 700);
    test.jump_back(DurationMs::from_secs(9000));
    assert_eq!(drift.take(&clock), 9_000_000);
    assert_eq!(drift.take(&clock), 0, "each jump is told once");
}

#[tokio::test]
async fn the_kernel_tells_of_no_jump_while_there_is_none() {
    let watch = JumpWatch::new().expect("the kernel has timers that are cancelled");
    let jumped = tokio::time::timeout(Duration::from_millis(50), watch.jumped()).await;
    assert!(jumped.is_err(), "{jumped:?}");
}

/// Source: proc_pid_fdinfo(5), timerfd.
#[tokio::test]
async fn the_kernel_holds_a_timer_that_ends_with_a_jump() {
    let watch = JumpWatch::new().expect("the kernel has timers that are cancelled");
    let fd = watch.jumps.get_ref().as_raw_fd();
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("it is open");
    let of = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.strip_prefix(": ")).map(str::to_owned)
    };
    assert_eq!(of("clockid").as_deref(), Some("0"), "the wall clock: {info}");
    // Absolute, and cancelled when that is set.
    assert_eq!(of("settime flags").as_deref(), Some("03"), "{info}");
    assert_eq!(of("ticks").as_deref(), Some("0"), "{info}");
}
