//! What time and the machine's state do to the record, without anybody writing to it.

use super::round::Round;
use crate::limits::{MESSAGE_WAKES_MAX, REST_ASKED_MAX};
use crate::selfhood::{Mute, RestPhase, RestUntil, Selfhood};
use crate::values::{SelfValues, Snapshot};
use crate::verdict::{Happened, RestOver};
use crate::view::View;
use crate::write::is_read;
use model::UnixMs;
use model::admit::MIN_RUN;
use policy::{Condition, Effect, Name, Platform, Policy, Rule};

/// Alarms whose time has come become due.
pub(super) fn fire(next: &mut Selfhood, policy: &Policy, now: UnixMs, out: &mut Vec<Happened>) {
    for (name, alarm) in &mut next.alarms {
        if alarm.fire(name, policy, now) {
            out.push(Happened::Fired(name.clone()));
            next.mutes.alarms.remove(name);
        }
    }
}

/// How the machine's `rest until` stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RestStanding {
    /// It rests by its own word, and what it waits for has come.
    pub(super) wakes: bool,
    /// It asked to rest, and has not begun.
    pub(super) asks: bool,
    /// When time alone changes that.
    pub(super) next: Option<UnixMs>,
}

/// Follows the machine's `rest until`: begun, ended, come true.
pub(super) fn rest(
    next: &mut Selfhood,
    policy: &Policy,
    view: &View<'_>,
    now: UnixMs,
    out: &mut Vec<Happened>,
) -> RestStanding {
    let Some(mut rest) = next.rest.take() else { return RestStanding::default() };
    let (has_come, crossing) = has_come(&rest, next, policy, view, now);
    if let Some(why) = follow(&mut rest, view, next.ups, has_come, now) {
        out.push(Happened::RestOver(rest.rev, why));
        return RestStanding::default();
    }
    let (wakes, asks, ends) = match rest.phase {
        RestPhase::Asked { since, .. } => (false, true, Some(since.plus(REST_ASKED_MAX))),
        RestPhase::Resting { .. } => (has_come, false, None),
    };
    next.rest = Some(rest);
    RestStanding { wakes, asks, next: ends.into_iter().chain(crossing).min() }
}

/// Moves a `rest until` on; says why it is over, if it is.
fn follow(
    rest: &mut RestUntil,
    view: &View<'_>,
    ups: u64,
    has_come: bool,
    now: UnixMs,
) -> Option<RestOver> {
    match rest.phase {
        RestPhase::Asked { .. } if view.is_resting() => {
            rest.phase = RestPhase::Resting { since: now };
            None
        }
        RestPhase::Asked { .. } if has_come => Some(RestOver::CameFirst),
        RestPhase::Asked { since, .. } if since.plus(REST_ASKED_MAX) <= now => {
            Some(RestOver::NotInTime)
        }
        RestPhase::Asked { up, .. } => (up < ups && view.is_up()).then_some(RestOver::Up),
        RestPhase::Resting { .. } if view.is_up() => Some(RestOver::Up),
        RestPhase::Resting { .. } => None,
    }
}

/// Whether what it waits for has come, and when time alone brings it.
fn has_come(
    rest: &RestUntil,
    selfhood: &Selfhood,
    policy: &Policy,
    view: &View<'_>,
    now: UnixMs,
) -> (bool, Option<UnixMs>) {
    let values = Snapshot { own: SelfValues { selfhood, policy, now }, view };
    // A text that does not compile any more is unknown, and starts nothing.
    let until = rest.until.as_ref().and_then(|text| policy.compile_rest_until(text).ok());
    let (is_true, crossing) = until.map_or((false, None), |until: Condition| {
        let (outcome, next) = until.evaluate_with_next(&values, now);
        (outcome.truth.is_true(), next)
    });
    let is_time = rest.at.is_some_and(|at| at <= now);
    let at = rest.at.filter(|at| now < *at);
    (is_true || is_time, crossing.into_iter().chain(at).min())
}

/// Patience with a machine that is up and does not look at the messages it was woken for.
pub(super) fn messages(next: &mut Selfhood, view: &View<'_>, now: UnixMs, out: &mut Vec<Happened>) {
    let Some(up_since) = next.up_since(view) else { return };
    let up = next.up_number();
    let inbox = &mut next.inbox;
    if inbox.wants_up(up) && inbox.patience_ends(up_since) <= now {
        inbox.attempts = (inbox.attempts + 1).min(MESSAGE_WAKES_MAX);
        inbox.spent_in = up;
        out.push(Happened::MessagesIgnored);
    }
}

/// Alarms that have done their work count as acknowledged, so that none sticks: one that wanted the
/// machine up has had it up for `min_run`, one that wanted it to rest has it at rest.
pub(super) fn alarms(
    next: &mut Selfhood,
    policy: &Policy,
    round: &Round,
    view: &View<'_>,
    now: UnixMs,
    out: &mut Vec<Happened>,
) -> bool {
    let due: Vec<String> = next.due().map(str::to_owned).collect();
    let served: Vec<String> = due
        .into_iter()
        .filter(|name| served_at(next, policy, round, view, name, now).is_some_and(|at| at <= now))
        .collect();
    for name in &served {
        if let Some(alarm) = next.alarms.get_mut(name) {
            alarm.ack(now);
            out.push(Happened::Served(name.clone()));
        }
        next.mutes.alarms.remove(name);
        if next.alarms.get(name).is_some_and(|alarm| alarm.is_over()) {
            next.alarms.remove(name);
        }
    }
    !served.is_empty()
}

/// When a due alarm has done its work, if nothing changes.
fn served_at(
    next: &Selfhood,
    policy: &Policy,
    round: &Round,
    view: &View<'_>,
    name: &str,
    now: UnixMs,
) -> Option<UnixMs> {
    let due = next.alarms.get(name)?.due?;
    let has_rule = |effect: Effect| {
        let mut rules = policy.rules().iter().filter(|rule| rule.effect == effect);
        rules.any(|rule| reads_alarm(rule, name) && round.stands(&rule.id))
    };
    let wants_up = is_bare(next, policy, name) || has_rule(Effect::Wake);
    let woke = next.up_since(view).filter(|_| wants_up).map(|up| up.max(due.since).plus(MIN_RUN));
    let rested = (view.is_resting() && has_rule(Effect::Rest)).then_some(now);
    woke.into_iter().chain(rested).min()
}

/// Whether nothing reads the alarm: then it wakes the machine by itself.
pub(super) fn is_bare(next: &Selfhood, policy: &Policy, name: &str) -> bool {
    !is_read(policy, next, |read| matches!(read, Name::Due(alarm) if **alarm == *name))
}

fn reads_alarm(rule: &Rule, name: &str) -> bool {
    let mut names = rule.when.names().chain(rule.until.iter().flat_map(|until| until.names()));
    names.any(|read| matches!(read, Name::Due(alarm) if **alarm == *name))
}

/// What was silenced speaks again once it was false, or when something newer has come.
pub(super) fn mutes(next: &mut Selfhood, policy: &Policy, round: &Round, view: &View<'_>) {
    if !next.mutes.rules.is_empty() {
        let mut rules = std::mem::take(&mut next.mutes.rules);
        rules.retain(|id, mute| {
            let rule = policy.rules().iter().find(|rule| *rule.id == **id);
            rule.is_some_and(|rule| round.stands(id) && !has_newer(rule, *mute, next, policy, view))
        });
        next.mutes.rules = rules;
    }
    let alarms = &next.alarms;
    next.mutes.alarms.retain(|name, _| alarms.get(name).is_some_and(|alarm| alarm.due.is_some()));
}

/// Whether something that the rule reads was written after the stop.
fn has_newer(rule: &Rule, mute: Mute, next: &Selfhood, policy: &Policy, view: &View<'_>) -> bool {
    let is_newer = |name: &Name| match name {
        Name::Memory(key) => next.facts.get(&**key).is_some_and(|fact| fact.rev > mute.rev),
        Name::Due(alarm) => {
            let due = next.alarms.get(&**alarm).and_then(|alarm| alarm.due);
            due.is_some_and(|due| due.since > mute.at)
        }
        Name::Platform(Platform::InboxDepth | Platform::InboxOldest) => {
            next.inbox.posted_rev > mute.rev
        }
        Name::Platform(Platform::Objective | Platform::Phase | Platform::Done) => {
            next.intent.rev > mute.rev
        }
        Name::PeerFact { peer, fact } => {
            let described = policy.document().peers.get(&**peer);
            let machine = described.and_then(|peer| peer.machine.as_deref()).unwrap_or(peer);
            let found = view.peers.peer(machine);
            found.and_then(|peer| peer.facts.written_at(fact)).is_some_and(|at| at > mute.at)
        }
        Name::Platform(_)
        | Name::PeerState(_)
        | Name::PeerAge(_)
        | Name::Old
        | Name::New
        | Name::Writer => false,
    };
    rule.when.names().chain(rule.until.iter().flat_map(|until| until.names())).any(is_newer)
}

/// When time alone next changes the record.
pub(super) fn next(
    next: &Selfhood,
    policy: &Policy,
    round: &Round,
    view: &View<'_>,
    now: UnixMs,
) -> Option<UnixMs> {
    let holds = next.holds.values().map(|hold| hold.expires_at);
    let alarms = next.alarms.values().filter_map(|alarm| alarm.next);
    let served = next.due().filter_map(|name| served_at(next, policy, round, view, name, now));
    let up = next.up_since(view).filter(|_| next.inbox.wants_up(next.up_number()));
    let patience = up.map(|up| next.inbox.patience_ends(up));
    holds.chain(alarms).chain(served).chain(patience).filter(|at| now < *at).min()
}
