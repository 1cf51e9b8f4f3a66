//! The policy as a table.

use super::*;
use crate::fixture::NOW;
use RestartMode::{Always, No, OnFailure};

fn exit(code: i32) -> Exit {
    Exit { code: Some(code), ..Exit::unseen(Some(NOW), NOW) }
}

#[track_caller]
fn check(mode: RestartMode, exit: &Exit, expected: bool) {
    let policy = RestartPolicy { mode, max_retries: 10 };
    let restart = RestartLog::default().after_exit(policy, exit, NOW);
    assert_eq!(restart.is_some(), expected, "{mode:?} {exit:?}");
}

#[test]
fn the_policy_decides_by_the_exit() {
    check(No, &exit(0), false);
    check(No, &exit(1), false);
    check(OnFailure, &exit(0), false);
    check(OnFailure, &exit(1), true);
    check(OnFailure, &Exit { oom_killed: true, ..exit(0) }, true);
    check(OnFailure, &Exit { shim_lost: true, ..exit(0) }, true);
    check(OnFailure, &Exit { code: None, signal: Some(9), ..exit(0) }, true);
    check(Always, &exit(0), true);
    check(Always, &exit(1), true);
}

#[test]
fn a_requested_stop_never_restarts() {
    for mode in [No, OnFailure, Always] {
        check(mode, &Exit { requested_stop: true, ..exit(1) }, false);
    }
}

#[test]
fn the_wait_doubles_from_one_second_to_thirty() {
    let waits: Vec<u64> = (0..7).map(|streak| backoff(streak).0 / 1000).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
}

/// Crashes at once, again and again, and says after how many restarts it stays stopped.
fn crash_until_stopped(max_retries: u32, run_ms: u64) -> Option<u32> {
    let policy = RestartPolicy { mode: OnFailure, max_retries };
    let (mut log, mut now) = (RestartLog::default(), NOW);
    for _ in 0..1000 {
        let started = now;
        now = now.plus(DurationMs(run_ms));
        let crash = Exit { code: Some(1), ..Exit::unseen(Some(started), now) };
        match log.after_exit(policy, &crash, now) {
            Some((next, until)) => (log, now) = (next, until),
            None => return Some(log.total),
        }
    }
    None
}

#[test]
fn retries_run_out_within_the_window_only() {
    assert_eq!(crash_until_stopped(10, 0), Some(10));
    assert_eq!(crash_until_stopped(0, 0), Some(0));
    assert_eq!(crash_until_stopped(3, 10_000), Some(3));
    assert_eq!(crash_until_stopped(10, 60_000), None);
}

#[test]
fn a_long_run_starts_the_wait_from_the_beginning() {
    let log = RestartLog { window_start: NOW, in_window: 9, total: 9, streak: 9, failed_starts: 0 };
    let now = NOW.plus(BACKOFF_RESET);
    let crash = Exit { code: Some(1), ..Exit::unseen(Some(NOW), now) };
    let policy = RestartPolicy { mode: Always, max_retries: 0 };
    let (next, until) = log.after_exit(policy, &crash, now).unwrap();
    assert_eq!(until, now.plus(BACKOFF_FIRST));
    assert_eq!((next.streak, next.in_window, next.total), (1, 1, 10));
}

#[test]
fn a_clock_that_went_back_does_not_freeze_the_window() {
    let log =
        RestartLog { window_start: NOW, in_window: 10, total: 10, streak: 5, failed_starts: 0 };
    let now = UnixMs(NOW.0 - 3_600_000);
    let crash = Exit { code: Some(1), ..Exit::unseen(Some(now), now) };
    let policy = RestartPolicy { mode: OnFailure, max_retries: 10 };
    assert!(log.after_exit(policy, &crash, now).is_some());
}

#[test]
fn a_failed_start_is_retried_a_few_times() {
    let (mut log, mut tries) = (RestartLog::default(), 0);
    while let Some((next, _)) = log.after_failed_start(NOW) {
        (log, tries) = (next, tries + 1);
    }
    assert_eq!(tries, START_RETRIES_MAX);
}

#[test]
fn a_program_that_ran_does_not_use_up_the_tries_of_a_start() {
    let log = RestartLog { streak: 50, total: 50, ..RestartLog::default() };
    let (log, _) = log.after_failed_start(NOW).unwrap();
    assert_eq!(log.failed_starts, 1);
    let policy = RestartPolicy { mode: Always, max_retries: 0 };
    assert_eq!(log.after_exit(policy, &exit(1), NOW).unwrap().0.failed_starts, 0);
}
