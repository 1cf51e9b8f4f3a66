//! How long each state may last, and which timers guard it.
//!
//! Timers are derived from the stored state alone, so recovery arms the same ones ([`timers`]) as
//! the steps before it did.

use crate::effect::TimerKind;
use crate::restart::BACKOFF_MAX;
use crate::state::{Machine, Nudges, State};
use crate::units::{DurationMs, UnixMs};

/// Time for one try of the create or update plan. Source: machines-api 3.2, "stuck" in updating.
pub const PREPARE_LIMIT: DurationMs = DurationMs::from_secs(600);

/// Tries of the create or update plan before the machine is `failed`.
pub const PREPARE_TRIES: u32 = 3;

/// Time from an accepted start to the running program; then it is killed.
///
/// Six times the ten seconds for which the proxy holds a visitor: nobody waits any more.
pub const START_LIMIT: DurationMs = DurationMs::from_secs(60);

/// Time past a stop's own deadline in which the shim may report the exit; then control kills.
pub const STOP_MARGIN: DurationMs = DurationMs::from_secs(5);

/// Time for a freeze or suspend: RAM of 16 GiB at 1 GiB/s, four times over.
pub const SLEEP_LIMIT: DurationMs = DurationMs::from_secs(60);

/// Time for one try of a thaw or resume: reads what a suspend has written.
pub const WAKE_LIMIT: DurationMs = SLEEP_LIMIT;

/// Tries of a thaw or resume before the run is killed.
pub const WAKE_TRIES: u32 = 3;

/// Time for a killed run to be gone.
pub const KILL_LIMIT: DurationMs = DurationMs::from_secs(10);

/// Time for one try of the destroy plan. Source: machines-api 3.2, "stuck" in destroying.
pub const REMOVE_LIMIT: DurationMs = DurationMs::from_secs(300);

/// First wait before a kill or removal that did not help is tried again; doubles each time.
///
/// These two are tried for ever: a run that cannot be killed must not be taken for dead, because a
/// second start over its disk would be worse than a machine that stays `stopping`.
pub const AGAIN_FIRST: DurationMs = DurationMs::from_secs(10);

/// Doublings of [`AGAIN_FIRST`]: 43 minutes is rare enough not to load the host.
const AGAIN_DOUBLINGS: u32 = 8;

/// From the rest notice to the rest: time for a guest to look at its work and put a hold.
pub const REST_NOTICE: DurationMs = DurationMs::from_secs(5);

/// An owed wake whose gate does not say when it opens is tried again after this long.
///
/// A safety net: whoever opens a gate tries at once.
pub const OWED_RECHECK: DurationMs = DurationMs::from_secs(60);

/// Longest time that an owed wake waits before it is brought to the gates again.
///
/// The longest that the circuit breaker stays open; also keeps a clock that jumped from putting a
/// wake off for years.
pub const OWED_WAIT_MAX: DurationMs = DurationMs::from_secs(3600);

/// The time that a timer guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it began.
    pub began: UnixMs,
    /// When the timer fires.
    pub ends: UnixMs,
}

impl Span {
    const fn new(began: UnixMs, length: DurationMs) -> Self {
        Self { began, ends: began.plus(length) }
    }

    /// For a moment that was set at most `length` before.
    const fn ending(ends: UnixMs, length: DurationMs) -> Self {
        Self { began: UnixMs(ends.0.saturating_sub(length.0)), ends }
    }

    /// Whether a timer that fires at `now` has come too early, for an earlier state say.
    ///
    /// When `now` lies before the beginning the clock went back, and waiting for the end could take
    /// for ever: that is not early.
    #[must_use]
    pub fn is_early(self, now: UnixMs) -> bool {
        self.began <= now && now < self.ends
    }
}

/// How long to wait, from `now`, before the timer of this kind fires; `None` when it must not.
///
/// The shell waits this long for each `Arm` and for each timer it finds at recovery. Never longer
/// than the whole span: when the clock went back, to wait for the moment itself could take days.
#[must_use]
pub fn wait(machine: &Machine, kind: TimerKind, now: UnixMs) -> Option<DurationMs> {
    span(machine, kind).map(|span| span.ends.since(now.max(span.began)))
}

/// The timers that must be armed for `machine`, and when each fires; see [`wait`].
#[must_use]
pub fn timers(machine: &Machine) -> Vec<(TimerKind, UnixMs)> {
    [TimerKind::Stuck, TimerKind::Backoff, TimerKind::Rest, TimerKind::Owed]
        .into_iter()
        .filter_map(|kind| span(machine, kind).map(|span| (kind, span.ends)))
        .collect()
}

/// The time that the timer of this kind guards now, if it must be armed.
#[must_use]
pub fn span(machine: &Machine, kind: TimerKind) -> Option<Span> {
    match kind {
        TimerKind::Stuck => stuck(machine),
        TimerKind::Backoff => backoff(&machine.state),
        TimerKind::Rest => notice(&machine.state),
        TimerKind::Owed => {
            machine.owed.as_ref().map(|owed| Span::ending(owed.not_before, OWED_WAIT_MAX))
        }
    }
}

fn stuck(machine: &Machine) -> Option<Span> {
    let (since, patience) = guard(&machine.state)?;
    let Nudges { count, at } = machine.nudges;
    Some(match (count, patience) {
        (0, Patience::Tries(limit) | Patience::Kills(limit)) => Span::new(since, limit),
        (_, Patience::Tries(limit)) => Span::new(at, limit),
        (n, Patience::Kills(_)) => {
            let doublings = (n - 1).min(AGAIN_DOUBLINGS);
            Span::new(at, DurationMs(AGAIN_FIRST.0 << doublings))
        }
    })
}

/// What follows the first limit of a state.
enum Patience {
    /// The same time for each further try.
    Tries(DurationMs),
    /// Longer and longer waits between kills or removals.
    Kills(DurationMs),
}

/// Since when the state lasts, and how long it may.
fn guard(state: &State) -> Option<(UnixMs, Patience)> {
    match state {
        State::Creating { since, .. } | State::Updating { since, run: None, .. } => {
            Some((*since, Patience::Tries(PREPARE_LIMIT)))
        }
        State::Starting { run, .. } => Some((run.accepted_at, Patience::Kills(START_LIMIT))),
        State::Stopping { since, order, .. } => {
            Some((*since, Patience::Kills(past(order.timeout))))
        }
        State::Suspending { since, .. } => Some((*since, Patience::Tries(SLEEP_LIMIT))),
        State::Suspended { wake, .. } => {
            wake.as_ref().map(|waking| (waking.since, Patience::Tries(WAKE_LIMIT)))
        }
        State::Updating { since, run: Some(_), order, .. } => {
            let limit = order.map_or(KILL_LIMIT, |order| past(order.timeout));
            Some((*since, Patience::Kills(limit)))
        }
        State::Destroying { since, run, .. } => {
            let limit = if run.is_some() { KILL_LIMIT } else { REMOVE_LIMIT };
            Some((*since, Patience::Kills(limit)))
        }
        State::Started { .. }
        | State::Resting { .. }
        | State::Stopped { .. }
        | State::Backoff { .. }
        | State::Failed { .. }
        | State::Destroyed { .. } => None,
    }
}

fn backoff(state: &State) -> Option<Span> {
    match state {
        State::Backoff { until, .. } => Some(Span::ending(*until, BACKOFF_MAX)),
        State::Creating { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => None,
    }
}

fn notice(state: &State) -> Option<Span> {
    match state {
        State::Resting { deadline, .. } => {
            Some(Span { began: UnixMs(deadline.0.saturating_sub(REST_NOTICE.0)), ends: *deadline })
        }
        State::Creating { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => None,
    }
}

/// A stop's timeout and the margin after it.
const fn past(timeout: DurationMs) -> DurationMs {
    DurationMs(timeout.0.saturating_add(STOP_MARGIN.0))
}
