//! What follows from what a machine remembers, at one moment.
//!
//! Edges are stored, levels are evaluated: everything here is a function of the record, the view and
//! the time, so it may be done again at any moment without harm, and a crash loses nothing. First
//! time does its work on the record (alarms fire, holds end), then the rules answer, then one thing
//! is decided.
//!
//! * `round`: the rules' answers. `settle`: what time does to the record, and what was silenced.
//! * `candidates`: who wants what. `decide`: who prevails.

mod candidates;
mod decide;
mod round;
mod settle;

pub(crate) use decide::{Shuts, decide, fitted};

use crate::limits::DECISION_BYTES_MAX;
use crate::selfhood::Selfhood;
use crate::trace::TraceBody;
use crate::verdict::{Candidate, Decision, Happened, Notify, Source, Stance, Verdict};
use crate::view::View;
use crate::write::{cut, listed};
use model::admit::gates::{Shut, first_shut};
use model::cause::CauseClass;
use model::state::Rest;
use model::{Cause, Depth, GateFacts, State, UnixMs, Want};
use policy::{Effect, Policy, Writer};
use round::Round;

/// Evaluates a machine at `now`. Pure and idempotent: evaluated again, the next record gives the same
/// verdict without an entry.
#[must_use]
pub fn evaluate(selfhood: &Selfhood, policy: &Policy, view: &View<'_>, now: UnixMs) -> Verdict {
    let mut next = selfhood.clone();
    next.rebase(now);
    let mut happened: Vec<Happened> = Vec::new();
    happened.extend(next.end_holds(now).into_iter().map(Happened::HoldEnded));
    settle::fire(&mut next, policy, now, &mut happened);
    let rest = settle::rest(&mut next, policy, view, now, &mut happened);
    settle::messages(&mut next, view, now, &mut happened);
    let mut round = Round::run(&next, policy, view, now);
    round.store(&mut next);
    if settle::alarms(&mut next, policy, &round, view, now, &mut happened) {
        let edges = std::mem::take(&mut round.rose);
        round = Round::run(&next, policy, view, now);
        round.rose.extend(edges);
        round.store(&mut next);
    }
    settle::mutes(&mut next, policy, &round, view);
    let dues = view.dues(next.rested.as_ref().map(|rested| rested.at));
    let wanted = candidates::gather(&next, policy, &round, &rest, &dues, now);
    let gates = gate_facts(&next, view, &wanted, now);
    let shuts = shuts(view, &gates, &wanted, now);
    let (stance, candidates) = decide(wanted, &shuts);
    let next_at = [
        round.next,
        rest.next,
        settle::next(&next, policy, &round, view, now),
        gate_opens(&stance, &shuts),
        dues.iter().map(|due| due.at).filter(|at| now < *at).min(),
    ];
    let notify = notified(policy, &round);
    happened.extend(notify.iter().map(|n| Happened::Notified(n.rule.clone())));
    let mut verdict = Verdict {
        is_changed: false,
        wish: wish(view, &next, &stance),
        gates,
        retire: retiring(&stance, &candidates),
        veto: is_veto(view, &stance),
        stance,
        candidates,
        results: round.results,
        reads: round.reads.into_values().collect(),
        next_at: next_at.into_iter().flatten().filter(|at| now < *at).min(),
        happened,
        notify,
        entry: None,
        next,
    };
    note(&mut verdict, selfhood, now);
    verdict.is_changed = verdict.next != *selfhood;
    verdict
}

/// What the gates say to a request that would wake the machine: as [`evaluate`], with the request in
/// the view, and nothing of it to be stored.
#[must_use]
pub fn knock(selfhood: &Selfhood, policy: &Policy, view: &View<'_>, now: UnixMs) -> GateFacts {
    evaluate(selfhood, policy, view, now).gates
}

/// The entry, and the decision that stands from now on.
fn note(verdict: &mut Verdict, before: &Selfhood, now: UnixMs) {
    let is_new = before
        .decision
        .as_ref()
        .map_or(verdict.stance != Stance::Stay, |last| last.stance != verdict.stance);
    if !is_new && verdict.happened.is_empty() {
        return;
    }
    if is_new {
        verdict.next.decision = Some(Decision { at: now, stance: verdict.stance.clone() });
    }
    verdict.next.revision = before.revision + 1;
    verdict.entry = Some(within(TraceBody {
        rev_after: verdict.next.revision,
        policy_hash: verdict.next.policy.as_ref().map(|policy| policy.hash.clone()),
        changes: listed(verdict.happened.iter().map(|h| cut(&h.to_string())).collect()),
        rule: verdict.stance.rule().map(str::to_owned),
        reads: verdict.reads.clone(),
        results: verdict.results.clone(),
        wish: verdict.wish.clone(),
        decision: Some(verdict.stance.clone()),
        candidates: verdict.candidates.clone(),
        ..TraceBody::new(Writer::Platform, crate::rights::Action::Decide, before)
    }));
}

/// The entry without what it has no room for. Of the candidates the one that prevailed stays, so the
/// decision can still be made again; the rules cannot be judged again.
fn within(mut entry: TraceBody) -> TraceBody {
    let text = serde_json::to_string(&entry).expect("an entry has text keys and finite numbers");
    if text.len() > DECISION_BYTES_MAX {
        let is_it = |c: &Candidate| entry.decision.as_ref().is_some_and(|d| d.is_by(&c.source));
        entry.candidates.retain(is_it);
        entry.reads = Vec::new();
        entry.results = Vec::new();
        entry.changes.push("what was read and answered has no room here".to_owned());
    }
    entry
}

/// What governance says to the gates.
fn gate_facts(next: &Selfhood, view: &View<'_>, wanted: &[Candidate], now: UnixMs) -> GateFacts {
    let first = |is_it: &dyn Fn(&Candidate) -> bool| wanted.iter().find(|c| is_it(c));
    let rule = |effect: Effect| {
        let found = first(&|c| c.effect == effect);
        found.and_then(|c| match &c.source {
            crate::verdict::Source::Rule(id) => Some(id.clone()),
            _ => None,
        })
    };
    let keeps = |c: &Candidate| matches!(c.effect, Effect::Hold | Effect::Wake) && !c.is_muted;
    GateFacts {
        deny_wake: rule(Effect::DenyWake),
        deny_rest: rule(Effect::DenyRest),
        hold: first(&keeps).map(|c| c.source.to_string()),
        rested_at: next.ledger.rested_at,
        started_at: next.usage.up_since,
        wakes_last_hour: next.ledger.wakes_last_hour(now),
        budget_grows_at: next.ledger.budget_grows_at(now),
        breaker_until: next.ledger.breaker_until(now),
        no_progress_until: next.ledger.no_progress_until(now),
        lease: view.lease.cloned(),
        no_rest_permit: view.no_rest_permit,
        can_freeze: view.can_freeze,
        can_suspend: view.can_suspend,
        ..GateFacts::default()
    }
}

/// The gates that are shut, by the model's own table.
fn shuts(view: &View<'_>, gates: &GateFacts, wanted: &[Candidate], now: UnixMs) -> Shuts {
    let begins_a_run = !view.machine.state.leads_up()
        && !matches!(view.machine.state, State::Resting { .. } | State::Starting { .. });
    let shut = |class, is_asked: bool| {
        let first = || first_shut(class, view.machine, gates, &Cause::Message, now);
        is_asked.then(first).flatten()
    };
    let asks = |effect| wanted.iter().any(|c| c.effect == effect && !c.is_muted);
    Shuts {
        wake: shut(CauseClass::Governed, begins_a_run && asks(Effect::Wake)),
        rest: shut(CauseClass::Rest, asks(Effect::Rest) || asks(Effect::Retire)),
    }
}

/// When a shut gate that matters opens by itself.
fn gate_opens(stance: &Stance, shuts: &Shuts) -> Option<UnixMs> {
    let opens = |shut: &Option<Shut>| shut.as_ref().and_then(|shut| shut.opens_at);
    match stance {
        Stance::Owed { .. } => opens(&shuts.wake),
        Stance::Kept { .. } => opens(&shuts.rest),
        Stance::Up { .. } | Stance::Down { .. } | Stance::Held { .. } | Stance::Stay => None,
    }
}

/// What the machine should be told: nothing when it is so already, or on its way there.
fn wish(view: &View<'_>, next: &Selfhood, stance: &Stance) -> Option<(Want, Cause)> {
    let state = &view.machine.state;
    let up = |by: &Source| Some((Want::Up, waker(next, by)));
    match stance {
        Stance::Up { by } if !state.leads_up() && !state.is_going_away() => up(by),
        // Brought to the gates once, so that it is remembered; the model tries again by itself.
        Stance::Owed { by, .. } if view.machine.owed.is_none() && !state.is_going_away() => up(by),
        Stance::Down { by, depth } => {
            let depth = fitted(*depth, view.can_freeze, view.can_suspend);
            let want = Want::Down(depth);
            can_rest(state, depth).then(|| (want, by.cause(want)))
        }
        Stance::Up { .. }
        | Stance::Owed { .. }
        | Stance::Kept { .. }
        | Stance::Held { .. }
        | Stance::Stay => None,
    }
}

/// Why it is woken: the alarm that its configuration's schedule made is told as the schedule.
fn waker(next: &Selfhood, by: &Source) -> Cause {
    match by {
        Source::Alarm(name) if next.schedule() == Some(name) => Cause::Schedule,
        by => by.cause(Want::Up),
    }
}

/// Whether a rest of this depth would change anything. While it starts, rests wait for its program.
fn can_rest(state: &State, wanted: Depth) -> bool {
    match state {
        State::Started { .. } => true,
        State::Suspended { depth, wake: None, .. } => *depth < wanted,
        State::Backoff { .. } => wanted == Depth::Stop,
        State::Creating { .. }
        | State::Starting { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Stopped { .. }
        | State::Suspending { .. }
        | State::Suspended { .. }
        | State::Updating { .. }
        | State::Failed { .. }
        | State::Destroying { .. }
        | State::Destroyed { .. } => false,
    }
}

/// A rest by rule that the machine has been told of, and that nobody wants any more.
fn is_veto(view: &View<'_>, stance: &Stance) -> bool {
    let State::Resting { rest: Rest { depth, cause, .. }, .. } = &view.machine.state else {
        return false;
    };
    let is_governed = cause.class(Want::Down(*depth)) == CauseClass::Rest;
    let is_wanted = matches!(stance, Stance::Down { .. });
    is_governed && !is_wanted
}

fn retiring(stance: &Stance, candidates: &[Candidate]) -> Option<String> {
    let Stance::Down { by, .. } = stance else { return None };
    let retires = candidates.iter().any(|c| c.effect == Effect::Retire && c.source == *by);
    stance.rule().filter(|_| retires).map(str::to_owned)
}

fn notified(policy: &Policy, round: &Round) -> Vec<Notify> {
    let rules = policy.rules().iter().filter(|rule| rule.effect == Effect::Notify);
    let rose = rules.filter(|rule| round.rose.contains(&*rule.id));
    rose.map(|rule| Notify { rule: rule.id.to_string(), to: rule.to.clone() }).collect()
}

impl Stance {
    /// Whether it is what this source wants.
    fn is_by(&self, source: &crate::verdict::Source) -> bool {
        match self {
            Self::Up { by }
            | Self::Owed { by, .. }
            | Self::Down { by, .. }
            | Self::Kept { by, .. }
            | Self::Held { by } => by == source,
            Self::Stay => false,
        }
    }

    /// The rule that prevailed.
    fn rule(&self) -> Option<&str> {
        match self {
            Self::Up { by }
            | Self::Owed { by, .. }
            | Self::Down { by, .. }
            | Self::Kept { by, .. }
            | Self::Held { by } => match by {
                crate::verdict::Source::Rule(id) => Some(id),
                _ => None,
            },
            Self::Stay => None,
        }
    }
}
