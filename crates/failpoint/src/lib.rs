//! Where can this process die, and what if it does?
//!
//! A failpoint is a named place in the real binary: just before or after a durable write, or at
//! the boundary of a step. A test counts the places a scenario passes (the dry run), then runs the
//! scenario once per place and lets the process die exactly there. This room also bends steps
//! (fail once, fail always, run twice) and pretends that the disk is full.
//!
//! Everything is steered by the environment, read once per process. With none of the variables
//! set, each call costs one relaxed atomic load.
//!
//! | variable | value | effect |
//! |---|---|---|
//! | `DORMOUSE_FAILPOINT_LOG` | a file | [`hit`] appends the line `<n> <name>` (one write each) |
//! | `DORMOUSE_FAILPOINT` | `<n>` | the process kills itself (SIGKILL) at its n-th [`hit`] |
//! | `DORMOUSE_FAILPOINT` | `<name>#<k>` | … at the k-th [`hit`] of that name |
//! | `DORMOUSE_STEP_FAULT` | `twice` | [`step`] answers [`StepFault::RunTwice`] each time |
//! | `DORMOUSE_STEP_FAULT` | `fail-once:<n>` | the n-th [`step`] answers [`StepFault::Fail`] |
//! | `DORMOUSE_STEP_FAULT` | `fail-always:<name>` | every [`step`] of that name answers `Fail` |
//! | `DORMOUSE_DELAY` | `<name>:<ms>` | every [`hit`] of that name takes so long: a slow disk |
//! | `DORMOUSE_DISK_FULL` | `<n>` | [`io()`] fails with ENOSPC from its n-th call on |
//!
//! Counts start at 1 and belong to the process: a child that inherits the environment counts for
//! itself, and because the log is opened for appending, several processes may share one file.
//! A value that does not parse ends the process with a panic: a test that believes it is injecting
//! faults must not run without them.

mod plan;

use plan::{KillAt, Plan, StepPlan};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What [`step`] asks of the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepFault {
    /// Run the step once, as always.
    None,
    /// Do not run the step; treat it as failed with an injected error.
    Fail,
    /// Run the step, and when it has succeeded, run it again: steps must not mind.
    RunTwice,
}

/// Marks a place where the process may die; `name` is `room.action.moment`.
///
/// Does not return when this is the hit that `DORMOUSE_FAILPOINT` names.
pub fn hit(name: &str) {
    if let Some(plan) = active() {
        hit_armed(plan, name);
    }
}

/// Asks how the step called `name` should be bent.
#[must_use]
pub fn step(name: &str) -> StepFault {
    let Some(plan) = active() else { return StepFault::None };
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let n = next(&PASSED);
    match &plan.step {
        StepPlan::Straight => StepFault::None,
        StepPlan::Twice => StepFault::RunTwice,
        StepPlan::FailOnce(at) if *at == n => StepFault::Fail,
        StepPlan::FailAlways(victim) if victim == name => StepFault::Fail,
        StepPlan::FailOnce(_) | StepPlan::FailAlways(_) => StepFault::None,
    }
}

/// Stands before a write that may find the disk full.
///
/// # Errors
/// [`io::ErrorKind::StorageFull`] (ENOSPC) from the n-th call on when `DORMOUSE_DISK_FULL` is `n`.
pub fn io(_name: &str) -> io::Result<()> {
    let Some(full_from) = active().and_then(|plan| plan.disk_full_from) else { return Ok(()) };
    static PASSED: AtomicU64 = AtomicU64::new(0);
    if next(&PASSED) < full_from { Ok(()) } else { Err(rustix::io::Errno::NOSPC.into()) }
}

/// Whether the environment asks for anything: not yet known, no, yes.
static ARMED: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const IDLE: u8 = 1;
const ACTIVE: u8 = 2;

/// The plan of this process, if its environment asks for any fault at all.
fn active() -> Option<&'static Plan> {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    if ARMED.load(Ordering::Relaxed) == IDLE {
        return None;
    }
    let plan = PLAN.get_or_init(Plan::from_env);
    let armed = if plan.is_idle() { IDLE } else { ACTIVE };
    ARMED.store(armed, Ordering::Relaxed);
    (armed == ACTIVE).then_some(plan)
}

/// Counts one more; the first is 1.
fn next(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed) + 1
}

#[cold]
fn hit_armed(plan: &Plan, name: &str) {
    static HITS: AtomicU64 = AtomicU64::new(0);
    static NAMED_HITS: AtomicU64 = AtomicU64::new(0);
    let n = next(&HITS);
    if let Some(log) = &plan.log {
        plan::append_line(log, &format!("{n} {name}\n"));
    }
    let dies_here = match &plan.kill {
        KillAt::Never => false,
        KillAt::Nth(at) => *at == n,
        KillAt::Named { name: victim, nth } => victim == name && next(&NAMED_HITS) == *nth,
    };
    if dies_here {
        die();
    }
    if let Some(delay) = plan.delay.as_ref().filter(|delay| delay.name == name) {
        std::thread::sleep(delay.time);
    }
}

/// Ends the process as a power cut would: no destructor, no flush, no handler.
fn die() -> ! {
    use rustix::process::{Signal, getpid, kill_process};
    kill_process(getpid(), Signal::KILL).expect("a process may always signal itself");
    loop {
        std::thread::park();
    }
}
