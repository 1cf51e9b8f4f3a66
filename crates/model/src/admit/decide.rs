//! The decision: lease, state, engine, gates.

use super::calls::{Answer, Call, answer};
use super::gates::{self, Shut, first_shut};
use super::{Admission, Asked, GateFacts, Refused};
use crate::cause::{Cause, CauseClass, Depth, Want};
use crate::state::{AfterStop, Machine, State};
use crate::units::UnixMs;

/// Decides whether `cause` may have what it wants now. Pure.
///
/// People's calls meet the lease first, then the table of states and calls, then the other gates;
/// everything else is asked first whether the machine is there already.
#[must_use]
pub fn admit(
    machine: &Machine,
    facts: &GateFacts,
    want: Want,
    cause: &Cause,
    now: UnixMs,
) -> Admission {
    let class = cause.class(want);
    let is_call = matches!(class, CauseClass::ApiStart | CauseClass::ApiRest);
    if is_call && let Some(lease) = gates::foreign_lease(facts, now) {
        return Admission::Refused(Refused::Lease(lease.clone()));
    }
    match standing(machine, want, cause, is_call) {
        Answer::Go => {}
        Answer::Already => return Admission::Already,
        Answer::Busy | Answer::Wrong | Answer::Gone => return refuse(machine, asked(want)),
    }
    if want == Want::Up && takes_a_rest_back(&machine.state) {
        return Admission::Go;
    }
    if let Some(message) = beyond_engine(facts, want) {
        return Admission::Refused(Refused::Unsupported { message });
    }
    match first_shut(class, machine, facts, cause, now) {
        Some(shut) => blocked(class, shut, now),
        None => Admission::Go,
    }
}

/// Decides whether a call that is more than "up" or "down" may go on: restart, update, destroy,
/// exec. Pure. Source: machines-api 3.4.
#[must_use]
pub fn admit_call(
    machine: &Machine,
    facts: &GateFacts,
    call: Call,
    cause: &Cause,
    now: UnixMs,
) -> Admission {
    if let Some(lease) = gates::foreign_lease(facts, now) {
        return Admission::Refused(Refused::Lease(lease.clone()));
    }
    match answer(&machine.state, call) {
        Answer::Go => {}
        Answer::Already => return Admission::Already,
        Answer::Busy | Answer::Wrong | Answer::Gone => return refuse(machine, call.asked()),
    }
    let begins_a_run = call == Call::Restart && machine.state.is_down();
    match first_shut(CauseClass::ApiStart, machine, facts, cause, now) {
        Some(shut) if begins_a_run => blocked(CauseClass::ApiStart, shut, now),
        Some(_) | None => Admission::Go,
    }
}

/// It is up, or starts already: a wake begins nothing that a gate could stop.
const fn takes_a_rest_back(state: &State) -> bool {
    matches!(state, State::Resting { .. } | State::Starting { then: Some(_), .. })
}

fn refuse(machine: &Machine, asked: Asked) -> Admission {
    Admission::Refused(Refused::State { state: machine.state.api_name(), asked })
}

const fn asked(want: Want) -> Asked {
    match want {
        Want::Up => Asked::Start,
        Want::Down(Depth::Stop) => Asked::Stop,
        Want::Down(Depth::Freeze | Depth::Suspend) => Asked::Suspend,
    }
}

/// How the machine stands to the wish.
///
/// Room on the disk wakes only what sleeps for want of it, and whoever wants that asleep for another
/// reason is heard.
fn standing(machine: &Machine, want: Want, cause: &Cause, is_call: bool) -> Answer {
    let is_pressed = machine.state.is_pressed();
    let is_about_room = matches!(cause, Cause::DiskPressure { .. } | Cause::DiskRoom { .. });
    match want {
        Want::Up if !is_pressed && matches!(cause, Cause::DiskRoom { .. }) => Answer::Already,
        Want::Down(Depth::Freeze | Depth::Suspend) if is_pressed && !is_about_room => Answer::Go,
        Want::Up if is_call => answer(&machine.state, Call::Start),
        Want::Up => standing_up(&machine.state),
        Want::Down(Depth::Stop) => answer(&machine.state, Call::Stop),
        Want::Down(depth) => standing_asleep(&machine.state, depth, is_call),
    }
}

/// A wake by anything but a call also joins a plan or stop under way.
fn standing_up(state: &State) -> Answer {
    match state {
        State::Destroying { .. } => Answer::Wrong,
        State::Destroyed { .. } => Answer::Gone,
        state if state.leads_up() => Answer::Already,
        State::Creating { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. } => Answer::Go,
    }
}

/// Freeze and suspend: also deeper from a shallower sleep; a rule may ask while it starts, and is
/// content with a machine that is down.
fn standing_asleep(state: &State, wanted: Depth, is_call: bool) -> Answer {
    match state {
        State::Suspended { depth, wake: None, .. } if *depth < wanted => Answer::Go,
        State::Suspending { wake: Some(_), .. } => Answer::Go,
        State::Starting { then: None, .. } if !is_call => Answer::Go,
        State::Starting { then: Some(_), .. }
        | State::Stopped { .. }
        | State::Stopping { then: AfterStop::Stay, .. }
            if !is_call =>
        {
            Answer::Already
        }
        State::Creating { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => answer(state, Call::Suspend),
    }
}

const fn beyond_engine(facts: &GateFacts, want: Want) -> Option<&'static str> {
    match want {
        Want::Down(Depth::Freeze) if !facts.can_freeze => Some("its engine cannot freeze"),
        Want::Down(Depth::Suspend) if !facts.can_suspend => {
            Some("its engine cannot suspend to disk; freeze or stop it instead")
        }
        Want::Down(_) | Want::Up => None,
    }
}

/// What a shut gate turns the wish into: calls, knocks and restarts are refused, governed wakes are
/// owed, rests are put off.
fn blocked(class: CauseClass, shut: Shut, now: UnixMs) -> Admission {
    match class {
        CauseClass::Governed => {
            Admission::Owed { gate: shut.gate, not_before: gates::owed_until(shut.opens_at, now) }
        }
        CauseClass::Rest => Admission::Refused(Refused::KeptAwake {
            gate: shut.gate,
            by: shut.by,
            not_before: shut.opens_at,
        }),
        CauseClass::ApiStart
        | CauseClass::Knock
        | CauseClass::ApiRest
        | CauseClass::Restart
        | CauseClass::Plan
        | CauseClass::Safety => Admission::Refused(shut.refusal),
    }
}
