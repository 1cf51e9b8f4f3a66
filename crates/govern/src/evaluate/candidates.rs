//! Who wants what.

use super::round::Round;
use super::settle::{self, RestStanding};
use crate::selfhood::Selfhood;
use crate::verdict::{Candidate, Source};
use crate::view::Due;
use model::{Depth, UnixMs};
use policy::{Effect, Policy, Rule};

/// Everybody who wants something now, the more specific first: the machine's own word, its alarms
/// and messages, then the rules in the order of the policy, then its services, then holds.
pub(super) fn gather(
    next: &Selfhood,
    policy: &Policy,
    round: &Round,
    rest: &RestStanding,
    dues: &[Due],
    now: UnixMs,
) -> Vec<Candidate> {
    let mut out = Vec::new();
    out.extend(own_rest(next, rest));
    out.extend(alarms(next, policy));
    if next.inbox.wants_up(next.up_number()) {
        let is_muted = next.inbox.wake_seq <= next.mutes.messages_through;
        out.push(Candidate { is_muted, ..candidate(Source::Message, Effect::Wake) });
    }
    let standing = policy.rules().iter().filter(|rule| round.stands(&rule.id));
    out.extend(standing.map(|rule| of_rule(rule, next)));
    let due = dues.iter().filter(|due| due.at <= now);
    out.extend(due.map(|due| Candidate {
        depth: Some(due.depth),
        ..candidate(due.source.clone(), Effect::Rest)
    }));
    let holds = next.holds.keys().map(|name| candidate(Source::Hold(name.clone()), Effect::Hold));
    out.extend(holds);
    out
}

fn candidate(source: Source, effect: Effect) -> Candidate {
    Candidate { source, effect, depth: None, is_muted: false, lost: None }
}

fn own_rest(next: &Selfhood, standing: &RestStanding) -> Option<Candidate> {
    let rest = next.rest.as_ref()?;
    let source = Source::RestUntil(rest.rev);
    if standing.wakes {
        return Some(candidate(source, Effect::Wake));
    }
    let depth = Some(rest.mode);
    standing.asks.then(|| Candidate { depth, ..candidate(source, Effect::Rest) })
}

/// Due alarms that nothing reads.
fn alarms(next: &Selfhood, policy: &Policy) -> Vec<Candidate> {
    let bare = next.due().filter(|name| settle::is_bare(next, policy, name));
    bare.map(|name| Candidate {
        is_muted: next.mutes.alarms.contains_key(name),
        ..candidate(Source::Alarm(name.to_owned()), Effect::Wake)
    })
    .collect()
}

fn of_rule(rule: &Rule, next: &Selfhood) -> Candidate {
    let depth = match rule.effect {
        Effect::Rest => Some(rule.mode),
        Effect::Retire => Some(Depth::Stop),
        Effect::Hold | Effect::Wake | Effect::DenyWake | Effect::DenyRest | Effect::Notify => None,
    };
    let is_muted = rule.effect == Effect::Wake && next.mutes.rules.contains_key(&*rule.id);
    Candidate { depth, is_muted, ..candidate(Source::Rule(rule.id.to_string()), rule.effect) }
}
