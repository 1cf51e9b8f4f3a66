//! Who puts a machine to rest: noted when the rest begins, so that it can be told while it lasts. Pure.

use govern::Report;
use govern::selfhood::LastRest;
use model::state::AfterStop;
use model::{Cause, Event, State, Want};

/// What a step from `before` to `after` says of that; `noted` is what is known so far.
pub(super) fn of_step(
    event: &Event,
    before: &State,
    after: &State,
    noted: Option<&LastRest>,
) -> Option<Report> {
    // A rest that has begun stays that of whoever was first, until it goes deeper.
    let begins = goes_down(after) && (!goes_down(before) || is_deeper(before, after));
    let is_up = matches!(after, State::Started { .. });
    let cause = begins.then(|| by(event, before)).flatten();
    let is_news = cause.is_some() || noted.is_some();
    (is_news && (begins || is_up)).then_some(Report::Resting { cause })
}

/// Down, or on the way there with nothing that brings it up again.
const fn goes_down(state: &State) -> bool {
    matches!(
        state,
        State::Stopping { then: AfterStop::Stay, .. }
            | State::Stopped { .. }
            | State::Suspending { wake: None, .. }
            | State::Suspended { wake: None, .. }
    )
}

/// From a sleep with RAM to a stop.
const fn is_deeper(before: &State, after: &State) -> bool {
    let keeps_ram = matches!(before, State::Suspending { .. } | State::Suspended { .. });
    keeps_ram && matches!(after, State::Stopping { .. } | State::Stopped { .. })
}

/// Who is behind it; nobody when a run ends by itself.
fn by(event: &Event, before: &State) -> Option<Cause> {
    match (event, before) {
        (Event::Want { want: Want::Down(_), cause, .. }, _) => Some(cause.clone()),
        (Event::Timer { .. }, State::Resting { rest, .. })
        | (Event::RunStarted { .. }, State::Starting { then: Some(rest), .. }) => {
            Some(rest.cause.clone())
        }
        (Event::HostRebooted { .. }, _) => Some(Cause::HostReboot),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
