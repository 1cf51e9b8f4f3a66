//! What holds for every machine that [`crate::step()`] returns.

use crate::cause::Depth;
use crate::deadline::timers;
use crate::effect::TimerKind;
use crate::state::{Machine, State};

/// Checks a machine before it is written and after it is read.
///
/// # Errors
/// The first sentence that does not hold: a bug of ours, or a damaged record.
pub fn validate(machine: &Machine) -> Result<(), &'static str> {
    let state = &machine.state;
    let owed_is_open = machine.owed.is_none() || (!state.leads_up() && !state.is_going_away());
    let guarded = timers(machine).iter().any(|(kind, _)| *kind != TimerKind::Owed);
    let log = &machine.restarts;
    [
        (runs_when_it_should(state), "a run's start time does not fit the state"),
        (sleeps_at_a_depth(state), "asleep at depth `stop`"),
        (stops_in_time(state), "a stop's deadline is not its begin and timeout"),
        (owed_is_open, "a wake is owed to a machine that is up or gone"),
        (guarded != state.is_settled(), "a state has a deadline exactly when it is transient"),
        (machine.nudges.count == 0 || !state.is_settled(), "a settled state was nudged"),
        (log.in_window <= log.total && log.streak <= log.total, "restarts are miscounted"),
        (machine.unprepared.is_none() || state.run().is_none(), "it runs and was never prepared"),
        (machine.revision > 0, "no revision"),
    ]
    .into_iter()
    .find_map(|(holds, sentence)| (!holds).then_some(sentence))
    .map_or(Ok(()), Err)
}

/// The program has begun in every state that follows `Started`, and in none before it.
fn runs_when_it_should(state: &State) -> bool {
    match state {
        State::Starting { run, .. } => run.started_at.is_none(),
        State::Started { run }
        | State::Resting { run, .. }
        | State::Stopping { run, .. }
        | State::Suspending { run, .. }
        | State::Suspended { run, .. } => run.started_at.is_some(),
        State::Creating { .. }
        | State::Stopped { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => true,
    }
}

fn sleeps_at_a_depth(state: &State) -> bool {
    !matches!(
        state,
        State::Suspending { depth: Depth::Stop, .. } | State::Suspended { depth: Depth::Stop, .. }
    )
}

fn stops_in_time(state: &State) -> bool {
    match state {
        State::Stopping { since, deadline, order, .. } => *deadline == since.plus(order.timeout),
        State::Updating { run, order, .. } => run.is_some() || order.is_none(),
        State::Creating { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => true,
    }
}
