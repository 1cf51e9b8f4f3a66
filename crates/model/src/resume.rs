//! What recovery carries out again for a stored state.

use crate::effect::Effect;
use crate::state::{Machine, State};

/// The effects that the stored state calls for, after the daemon was down or when a state has
/// lasted too long.
///
/// They may have been carried out before: an effect names what must be true. Timers are apart:
/// [`crate::deadline::timers`]. What a past run still holds on the host is not named here: recovery
/// gives back what no stored state explains.
#[must_use]
pub fn resume(machine: &Machine) -> Vec<Effect> {
    let effect = match &machine.state {
        State::Creating { .. } | State::Updating { run: None, .. } => Effect::Prepare,
        State::Starting { run, .. } => Effect::Launch(run.clone()),
        State::Resting { run, deadline, .. } => {
            Effect::NotifyRest { run: run.id.clone(), deadline: *deadline }
        }
        State::Stopping { run, .. }
        | State::Updating { run: Some(run), .. }
        | State::Destroying { run: Some(run), .. }
            if machine.nudges.count > 0 =>
        {
            Effect::Kill { run: run.id.clone() }
        }
        State::Stopping { run, order, .. }
        | State::Updating { run: Some(run), order: Some(order), .. } => {
            Effect::Stop { run: run.id.clone(), order: *order }
        }
        State::Updating { run: Some(run), order: None, .. }
        | State::Destroying { run: Some(run), .. } => Effect::Kill { run: run.id.clone() },
        State::Suspending { run, depth, .. } => {
            Effect::Sleep { run: run.id.clone(), depth: *depth }
        }
        State::Suspended { run, depth, wake: Some(_), .. } => {
            Effect::Wake { run: run.clone(), depth: *depth }
        }
        State::Destroying { run: None, .. } => Effect::Remove,
        State::Started { .. }
        | State::Suspended { wake: None, .. }
        | State::Stopped { .. }
        | State::Backoff { .. }
        | State::Failed { .. }
        | State::Destroyed { .. } => return Vec::new(),
    };
    vec![effect]
}
