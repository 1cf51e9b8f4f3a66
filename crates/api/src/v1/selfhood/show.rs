//! Records of a self as answers show them.

use crate::contract::selfhood::{
    Alarm, AlarmPut, Candidate, Decision, DueAlarm, Fact, Hold, HoldDown, InboxCounts, Intent,
    Memory, Message, Moment, Notice, Oldest, PolicyNamed, Rest, Signals, Tally, TraceHead, Usage,
    Wake,
};
use crate::problem::gate_word;
use control::{InboxMessage, SelfRecord};
use govern::selfhood::{self, AlarmOrigin, LastWake, RestPhase, RestUntil};
use govern::verdict::{Lost, Stance};
use govern::{Selfhood, trace};
use model::{Depth, Machine, UnixMs};
use std::collections::BTreeMap;

/// The facts that count, and the defaults of those that nobody has written.
pub(super) fn memory(record: &SelfRecord, now: UnixMs) -> Memory {
    let selfhood = &record.selfhood;
    let declared = &record.policy.document().facts;
    let unwritten = declared.iter().filter(|(key, _)| !selfhood.facts.contains_key(*key));
    let defaults = unwritten.filter_map(|(key, schema)| {
        let value = schema.default.clone().filter(|_| !schema.secret)?;
        Some((key.clone(), Fact { value, is_default: true, ..Fact::default() }))
    });
    let live = selfhood.facts.iter().filter(|(_, fact)| !fact.is_expired(now));
    let written = live.map(|(key, written)| (key.clone(), fact(written)));
    Memory { revision: selfhood.revision, facts: defaults.chain(written).collect() }
}

pub(super) fn fact(fact: &selfhood::Fact) -> Fact {
    Fact {
        value: if fact.secret { serde_json::Value::Null } else { fact.value.clone() },
        is_default: false,
        writer: Some(fact.writer.to_string()),
        rev: Some(fact.rev),
        at: Some(Moment(fact.at)),
        expires_at: fact.expires_at.map(Moment),
        secret: fact.secret,
    }
}

pub(super) fn intent(intent: &selfhood::Intent) -> Intent {
    Intent {
        objective: intent.objective.clone(),
        phase: intent.phase.clone(),
        done: intent.done,
        rev: intent.rev,
    }
}

pub(super) fn inbox(inbox: &selfhood::Inbox) -> InboxCounts {
    InboxCounts {
        depth: inbox.depth,
        bytes: inbox.bytes,
        oldest: inbox.oldest.map(|first| Oldest { seq: first.seq, at: Moment(first.at) }),
        next_seq: inbox.next_seq,
        wakes: inbox.wakes,
        dead: inbox.dead,
    }
}

pub(super) fn message(message: &InboxMessage, now: UnixMs) -> Message {
    let row = &message.row;
    Message {
        seq: row.seq,
        id: row.id.clone(),
        from: row.from.to_string(),
        at: Moment(row.at),
        body: message.body.clone(),
        hops: row.hops,
        wake: row.wake,
        deliveries: row.deliveries,
        hidden_until: Some(row.hidden_until).filter(|until| now < *until).map(Moment),
    }
}

/// The holds that last, by name.
pub(super) fn holds(selfhood: &Selfhood, now: UnixMs) -> BTreeMap<String, Hold> {
    let live = selfhood.holds.iter().filter(|(_, hold)| now < hold.expires_at);
    let shown = |hold: &selfhood::Hold| Hold {
        expires_at: Moment(hold.expires_at),
        reason: hold.reason.clone(),
        writer: hold.writer.to_string(),
        at: Moment(hold.at),
    };
    live.map(|(name, hold)| (name.clone(), shown(hold))).collect()
}

/// The alarms, by name.
pub(super) fn alarms(selfhood: &Selfhood) -> BTreeMap<String, Alarm> {
    selfhood.alarms.iter().map(|(name, entry)| (name.clone(), alarm(entry))).collect()
}

fn alarm(entry: &selfhood::AlarmEntry) -> Alarm {
    let AlarmPut { at, every, cron, tz, missed } = AlarmPut::from(&entry.text);
    Alarm {
        at,
        every,
        cron,
        tz,
        missed: missed.unwrap_or_default(),
        origin: match &entry.origin {
            AlarmOrigin::Policy => "policy".to_owned(),
            AlarmOrigin::Writer(writer) => writer.to_string(),
        },
        set_at: Moment(entry.set_at),
        next: entry.next.map(Moment),
        due: entry.due.map(|due| DueAlarm {
            since: Moment(due.since),
            meant_for: Moment(due.meant_for),
            count: due.count,
        }),
    }
}

pub(super) const fn signals(signals: &selfhood::Signals) -> Signals {
    Signals {
        last_exit: signals.last_exit,
        oom: signals.oom,
        wake_failures: signals.wake_failures,
        wakes_without_progress: signals.wakes_without_progress,
        resumed_cold: signals.resumed_cold,
    }
}

pub(super) fn usage(selfhood: &Selfhood, now: UnixMs) -> Usage {
    let tally = |tally: &selfhood::Tally| Tally {
        start: Moment(tally.start),
        started_s: tally.started_ms / 1000,
        cpu_s: tally.cpu_ms / 1000,
        wakes: tally.wakes,
    };
    Usage {
        day: tally(&selfhood.usage.day),
        month: tally(&selfhood.usage.month),
        up_since: selfhood.usage.up_since.map(Moment),
        wakes_last_hour: selfhood.ledger.wakes_last_hour(now),
    }
}

pub(super) fn wake(wake: &LastWake) -> Wake {
    Wake {
        cause: wake.cause.clone(),
        at: Moment(wake.at),
        governed: wake.is_governed,
        reached: wake.reached,
        cold: wake.cold,
        progressed: wake.progressed,
        ended: wake.ended,
    }
}

pub(super) fn rest(rest: &RestUntil) -> Rest {
    let (phase, since) = match rest.phase {
        RestPhase::Asked { since, .. } => ("asked", since),
        RestPhase::Resting { since } => ("resting", since),
    };
    Rest {
        name: format!("self:{}", rest.rev),
        mode: rest.mode,
        until: rest.until.clone(),
        at: rest.at.map(Moment),
        note: rest.note.clone(),
        phase: phase.to_owned(),
        since: Moment(since),
    }
}

pub(super) fn notice(notice: &control::Notice) -> Notice {
    Notice {
        mode: notice.rest.depth,
        cause: notice.rest.cause.clone(),
        deadline: Moment(notice.deadline),
        vetoes_left: notice.vetoes_left,
    }
}

pub(super) fn hold_down(machine: &Machine, now: UnixMs) -> Option<HoldDown> {
    let hold = machine.hold_down.as_ref().filter(|hold| hold.is_active(now))?;
    Some(HoldDown { reason: hold.reason.clone(), until: hold.until.map(Moment) })
}

pub(super) fn policy_named(policy: &selfhood::PolicyRef) -> PolicyNamed {
    PolicyNamed {
        hash: policy.hash.to_string(),
        at: Moment(policy.at),
        by: policy.by.to_string(),
        rev: policy.rev,
    }
}

pub(super) fn trace_head(head: &trace::TraceHead) -> TraceHead {
    TraceHead { first: head.first, seq: head.seq, hash: head.hash.to_string() }
}

/// What was decided, also in a line.
pub(in crate::v1) fn decision(stance: &Stance, at: Option<UnixMs>) -> Decision {
    let mut shown = Decision { at: at.map(Moment), ..Decision::default() };
    let (word, line) = match stance {
        Stance::Up { by } => {
            shown.by = Some(by.to_string());
            ("up", format!("up: {by} wants it up"))
        }
        Stance::Owed { by, gate, gate_by } => {
            shown.by = Some(by.to_string());
            shown.gate = Some(gate_word(*gate).to_owned());
            shown.gate_by.clone_from(gate_by);
            let behind = behind(gate_by.as_deref());
            ("owed", format!("owed: {by} wants it up; gate {}{behind}", gate_word(*gate)))
        }
        Stance::Down { by, depth } => {
            shown.by = Some(by.to_string());
            shown.depth = Some(*depth);
            ("down", format!("down: {by} wants it to {}", depth_word(*depth)))
        }
        Stance::Kept { by, gate, gate_by } => {
            shown.by = Some(by.to_string());
            shown.gate = Some(gate_word(*gate).to_owned());
            shown.gate_by.clone_from(gate_by);
            let behind = behind(gate_by.as_deref());
            ("kept", format!("kept: {by} wants it to rest; gate {}{behind}", gate_word(*gate)))
        }
        Stance::Held { by } => {
            shown.by = Some(by.to_string());
            ("held", format!("held: {by} keeps it awake"))
        }
        Stance::Stay => ("stay", "stay: nothing wants anything else".to_owned()),
    };
    Decision { stance: word.to_owned(), line, ..shown }
}

fn behind(name: Option<&str>) -> String {
    name.map(|name| format!(" ({name})")).unwrap_or_default()
}

const fn depth_word(depth: Depth) -> &'static str {
    match depth {
        Depth::Freeze => "freeze",
        Depth::Suspend => "suspend",
        Depth::Stop => "stop",
    }
}

pub(super) fn candidate(candidate: &govern::verdict::Candidate) -> Candidate {
    let lost = candidate.lost.as_ref().map(|lost| match lost {
        Lost::Muted => "silenced by a stop".to_owned(),
        Lost::To(winner) => format!("after {winner}"),
        Lost::Shut(gate) => format!("gate {} is shut", gate_word(*gate)),
    });
    Candidate {
        source: candidate.source.to_string(),
        effect: candidate.effect.to_string(),
        depth: candidate.depth,
        lost,
    }
}

#[cfg(test)]
mod tests;
