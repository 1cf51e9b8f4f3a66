//! Whether a rule stands: what `for`, `until`, `release_for` and `cooldown` make of its conditions.
//!
//! ```text
//!            start true            for `for`, and `cooldown` is over
//!   Down ───────────────► Rising ───────────────────────────────────► Up
//!    ▲  ◄─────────────────  │         start no longer true            │ ▲
//!    │                                                 release true   ▼ │ release no longer true
//!    └───────────────────────────────────────────────────────────── Falling
//!                          for `release_for`
//! ```
//!
//! *Start* is `when`, unless `until` is true; *release* is `until` where there is one, else the
//! opposite of `when`. An unknown condition moves nothing up or down: it interrupts `for` and
//! `release_for`, and what the rule means meanwhile is [`Effect::when_unknown`].

use crate::document::{Effect, WhenUnknown};
use crate::limits::UNKNOWN_HOLD_MAX;
use crate::policy::Rule;
use crate::reading::Truth;
use model::{DurationMs, UnixMs};
use serde::{Deserialize, Serialize};

/// How the standing of a rule follows its conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// `for`: `when` must last this long.
    pub lasting: DurationMs,
    /// The condition for its end must last this long.
    pub release_for: DurationMs,
    /// From its end to its next begin.
    pub cooldown: DurationMs,
}

/// What the caller keeps for each rule between two evaluations; a new rule begins with the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleState {
    /// Where it is on its way.
    #[serde(flatten)]
    pub phase: Phase,
    /// When it last fell: `cooldown` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fell_at: Option<UnixMs>,
    /// Since when the condition that matters is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<UnixMs>,
}

/// Where a rule is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// It does not stand.
    #[default]
    Down,
    /// It does not stand yet: its start must last.
    Rising {
        /// Since when it does.
        since: UnixMs,
    },
    /// It stands.
    Up {
        /// Since when.
        since: UnixMs,
    },
    /// It still stands: its release must last.
    Falling {
        /// Since when it does.
        since: UnixMs,
        /// Since when the rule stands.
        up_since: UnixMs,
    },
}

/// What an evaluation made of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advanced {
    /// To be stored, in the same transaction as what follows from it.
    pub state: RuleState,
    /// Whether the rule counts now.
    pub stands: bool,
    /// Whether it has just begun or ended; a `notify` is sent at [`Edge::Rose`] only.
    pub edge: Option<Edge>,
    /// When it must be advanced again although no condition changed its answer.
    pub next: Option<UnixMs>,
}

/// A change of a rule's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// It has begun to stand.
    Rose,
    /// It has ceased to.
    Fell,
}

/// Advances a rule by the answers of its conditions at `now`.
#[must_use]
pub fn advance(
    rule: &Rule,
    state: RuleState,
    when: &Truth,
    until: Option<&Truth>,
    now: UnixMs,
) -> Advanced {
    advance_with(rule.effect, &rule.timing, state, Signals::new(when, until), now)
}

/// What the conditions say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signals {
    /// `None` when unknown.
    start: Option<bool>,
    release: Option<bool>,
}

impl Signals {
    pub(crate) fn new(when: &Truth, until: Option<&Truth>) -> Self {
        let when = known(when);
        let Some(until) = until.map(known) else {
            return Self { start: when, release: when.map(|truth| !truth) };
        };
        let start = match (when, until) {
            (Some(false), _) | (_, Some(true)) => Some(false),
            (when, Some(false)) => when,
            (_, None) => None,
        };
        Self { start, release: until }
    }
}

const fn known(truth: &Truth) -> Option<bool> {
    match truth {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Unknown(_) => None,
    }
}

pub(crate) fn advance_with(
    effect: Effect,
    timing: &Timing,
    state: RuleState,
    signals: Signals,
    now: UnixMs,
) -> Advanced {
    let before = rebased(state, now);
    let cool_at = before.fell_at.map_or(UnixMs(0), |fell_at| fell_at.plus(timing.cooldown));
    let phase = stepped(before.phase, timing, signals, cool_at, now);
    let was_up = is_up(before.phase);
    let edge = match (was_up, is_up(phase)) {
        (false, true) => Some(Edge::Rose),
        (true, false) => Some(Edge::Fell),
        _ => None,
    };
    let matters = if is_up(phase) { signals.release } else { signals.start };
    let unknown_since = matters.is_none().then(|| before.unknown_since.unwrap_or(now));
    let fell_at = if edge == Some(Edge::Fell) { Some(now) } else { before.fell_at };
    let state = RuleState { phase, fell_at, unknown_since };
    let (stands, fades_at) = standing(effect, state, now);
    let turns_at = match phase {
        Phase::Down | Phase::Up { .. } => None,
        Phase::Rising { since } => Some(since.plus(timing.lasting).max(cool_at)),
        Phase::Falling { since, .. } => Some(since.plus(timing.release_for)),
    };
    let next = turns_at.into_iter().chain(fades_at).min();
    Advanced { state, stands, edge, next }
}

/// Moments that lie ahead of a clock that was set back begin now.
fn rebased(state: RuleState, now: UnixMs) -> RuleState {
    let not_ahead = |at: UnixMs| at.min(now);
    let phase = match state.phase {
        Phase::Down => Phase::Down,
        Phase::Rising { since } => Phase::Rising { since: not_ahead(since) },
        Phase::Up { since } => Phase::Up { since: not_ahead(since) },
        Phase::Falling { since, up_since } => {
            Phase::Falling { since: not_ahead(since), up_since: not_ahead(up_since) }
        }
    };
    RuleState {
        phase,
        fell_at: state.fell_at.map(not_ahead),
        unknown_since: state.unknown_since.map(not_ahead),
    }
}

fn stepped(phase: Phase, timing: &Timing, signals: Signals, cool_at: UnixMs, now: UnixMs) -> Phase {
    let starts = signals.start == Some(true);
    let releases = signals.release == Some(true);
    match phase {
        Phase::Down | Phase::Rising { .. } if !starts => Phase::Down,
        Phase::Down => risen(now, timing, cool_at, now),
        Phase::Rising { since } => risen(since, timing, cool_at, now),
        Phase::Up { since } if releases => fallen(now, since, timing, now),
        Phase::Up { since } => Phase::Up { since },
        Phase::Falling { since, up_since } if releases => fallen(since, up_since, timing, now),
        Phase::Falling { up_since, .. } => Phase::Up { since: up_since },
    }
}

fn risen(since: UnixMs, timing: &Timing, cool_at: UnixMs, now: UnixMs) -> Phase {
    let is_over = since.plus(timing.lasting).max(cool_at) <= now;
    if is_over { Phase::Up { since: now } } else { Phase::Rising { since } }
}

fn fallen(since: UnixMs, up_since: UnixMs, timing: &Timing, now: UnixMs) -> Phase {
    let is_over = since.plus(timing.release_for) <= now;
    if is_over { Phase::Down } else { Phase::Falling { since, up_since } }
}

const fn is_up(phase: Phase) -> bool {
    matches!(phase, Phase::Up { .. } | Phase::Falling { .. })
}

/// Whether the rule counts, and when that ends by itself because nobody knows.
fn standing(effect: Effect, state: RuleState, now: UnixMs) -> (bool, Option<UnixMs>) {
    let is_up = is_up(state.phase);
    let Some(since) = state.unknown_since else { return (is_up, None) };
    match effect.when_unknown() {
        WhenUnknown::DoesNotStand => (false, None),
        WhenUnknown::Stands => (true, None),
        WhenUnknown::LastForAWhile => {
            let ends_at = since.plus(UNKNOWN_HOLD_MAX);
            let stands = is_up && now < ends_at;
            (stands, stands.then_some(ends_at))
        }
    }
}

#[cfg(test)]
mod tests;
