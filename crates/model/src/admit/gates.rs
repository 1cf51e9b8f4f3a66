//! The gate table. Source: design, section 7.

use super::{Gate, GateFacts, LeaseHeld, MIN_REST, MIN_RUN, Refused, WAKE_BUDGET_PER_HOUR};
use crate::cause::{Cause, CauseClass};
use crate::deadline::{OWED_RECHECK, OWED_WAIT_MAX};
use crate::state::{Machine, State};
use crate::units::{DurationMs, UnixMs};

/// The gates that each class of cause meets, in the order in which they are tried.
///
/// A back-off by the restart policy is a state, not a gate: who wants it up before that is over is
/// told that it is on its way. `autostart` belongs to a service that is knocked on, so only a knock
/// meets it.
pub const GATES: [(CauseClass, &[Gate]); 8] = [
    (
        CauseClass::ApiStart,
        &[Gate::Lease, Gate::DiskPressure, Gate::Capacity, Gate::HoldDown, Gate::Deny],
    ),
    (
        CauseClass::Knock,
        &[
            Gate::Lease,
            Gate::DiskPressure,
            Gate::Capacity,
            Gate::HoldDown,
            Gate::Deny,
            Gate::Autostart,
        ],
    ),
    (
        CauseClass::Governed,
        &[
            Gate::Lease,
            Gate::DiskPressure,
            Gate::Capacity,
            Gate::HoldDown,
            Gate::Deny,
            Gate::MinRest,
            Gate::WakeBudget,
            Gate::Breaker,
            Gate::Progress,
        ],
    ),
    (CauseClass::Rest, &[Gate::Lease, Gate::Deny, Gate::Hold, Gate::MinRun, Gate::RestPermit]),
    (CauseClass::ApiRest, &[Gate::Lease]),
    (CauseClass::Restart, &[Gate::DiskPressure, Gate::HoldDown]),
    (CauseClass::Plan, &[]),
    (CauseClass::Safety, &[]),
];

/// A gate that is shut.
#[derive(Clone, Debug, PartialEq)]
pub struct Shut {
    /// Which.
    pub gate: Gate,
    /// Name of the rule, hold or owner behind it, if it has one.
    pub by: Option<String>,
    /// When it opens, if that is known.
    pub opens_at: Option<UnixMs>,
    /// What a caller is told.
    pub refusal: Refused,
}

/// The gates of `class`.
#[must_use]
pub fn gates_of(class: CauseClass) -> &'static [Gate] {
    GATES.iter().find(|(row, _)| *row == class).map_or(&[], |(_, gates)| gates)
}

/// The first gate that stops `cause`.
#[must_use]
pub fn first_shut(
    class: CauseClass,
    machine: &Machine,
    facts: &GateFacts,
    cause: &Cause,
    now: UnixMs,
) -> Option<Shut> {
    gates_of(class).iter().find_map(|gate| shut(*gate, class, machine, facts, cause, now))
}

/// The lease that stops the caller: somebody else's, and not expired.
#[must_use]
pub fn foreign_lease(facts: &GateFacts, now: UnixMs) -> Option<&LeaseHeld> {
    facts.lease.as_ref().filter(|lease| now < lease.expires_at)
}

/// When an owed wake is tried again.
#[must_use]
pub fn owed_until(opens_at: Option<UnixMs>, now: UnixMs) -> UnixMs {
    opens_at.unwrap_or(now.plus(OWED_RECHECK)).min(now.plus(OWED_WAIT_MAX))
}

fn shut(
    gate: Gate,
    class: CauseClass,
    machine: &Machine,
    facts: &GateFacts,
    cause: &Cause,
    now: UnixMs,
) -> Option<Shut> {
    let kept_awake = |by: Option<&String>, opens_at: Option<UnixMs>| Shut {
        gate,
        by: by.cloned(),
        opens_at,
        refusal: Refused::KeptAwake { gate, by: by.cloned(), not_before: opens_at },
    };
    match gate {
        Gate::Lease => foreign_lease(facts, now).map(|lease| Shut {
            gate,
            by: Some(lease.owner.clone()),
            opens_at: Some(lease.expires_at),
            refusal: Refused::Lease(lease.clone()),
        }),
        Gate::DiskPressure => {
            facts.disk_pressure.filter(|_| machine.state.is_pressed()).map(|free| Shut {
                gate,
                by: None,
                opens_at: None,
                refusal: Refused::DiskPressure { free },
            })
        }
        Gate::Capacity => facts.no_capacity.as_ref().map(|text| Shut {
            gate,
            by: None,
            opens_at: None,
            refusal: Refused::Capacity(text.clone()),
        }),
        Gate::HoldDown => {
            machine.hold_down.as_ref().filter(|hold| hold.is_active(now)).map(|hold| Shut {
                gate,
                by: None,
                opens_at: hold.until,
                refusal: Refused::HeldDown { reason: hold.reason.clone() },
            })
        }
        Gate::Deny => denied_by(class, facts, cause).map(|rule| Shut {
            gate,
            by: Some(rule.clone()),
            opens_at: None,
            refusal: Refused::Denied { rule: rule.clone() },
        }),
        Gate::Autostart => facts.autostart_off.then_some(Shut {
            gate,
            by: None,
            opens_at: None,
            refusal: Refused::AutostartOff,
        }),
        Gate::Hold => facts.hold.as_ref().map(|name| kept_awake(Some(name), None)),
        Gate::MinRest => until(facts.rested_at, MIN_REST, now).map(|at| kept_awake(None, Some(at))),
        Gate::MinRun => min_run(machine, facts, now).map(|at| kept_awake(None, Some(at))),
        Gate::WakeBudget => {
            let opens_at = later(facts.budget_grows_at, now);
            (facts.wakes_last_hour >= WAKE_BUDGET_PER_HOUR).then(|| kept_awake(None, opens_at))
        }
        Gate::Breaker => later(facts.breaker_until, now).map(|at| kept_awake(None, Some(at))),
        Gate::Progress => later(facts.no_progress_until, now).map(|at| kept_awake(None, Some(at))),
        Gate::RestPermit => facts.no_rest_permit.then(|| kept_awake(None, None)),
    }
}

/// The rule that says no. The owner may pass a deny rule with `override=1`.
fn denied_by<'a>(class: CauseClass, facts: &'a GateFacts, cause: &Cause) -> Option<&'a String> {
    match class {
        CauseClass::ApiStart
        | CauseClass::Knock
        | CauseClass::Governed
        | CauseClass::Restart
        | CauseClass::Plan
        | CauseClass::Safety => {
            let overrides = matches!(cause, Cause::Api { overrides_deny: true, .. });
            facts.deny_wake.as_ref().filter(|_| !overrides)
        }
        CauseClass::Rest | CauseClass::ApiRest => facts.deny_rest.as_ref(),
    }
}

/// The end of `length` after `from`, while it lies ahead. A `from` in the future means that the
/// clock went back: nothing is known then, and nothing is held up.
fn until(from: Option<UnixMs>, length: DurationMs, now: UnixMs) -> Option<UnixMs> {
    from.filter(|from| *from <= now).and_then(|from| later(Some(from.plus(length)), now))
}

fn later(at: Option<UnixMs>, now: UnixMs) -> Option<UnixMs> {
    at.filter(|at| now < *at)
}

/// A program that does not run yet has its whole `min_run` before it.
fn min_run(machine: &Machine, facts: &GateFacts, now: UnixMs) -> Option<UnixMs> {
    if matches!(machine.state, State::Starting { .. }) {
        return Some(now.plus(MIN_RUN));
    }
    until(facts.started_at, MIN_RUN, now)
}
