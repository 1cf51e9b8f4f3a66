//! Writes: what is asked for, who may, what follows.
//!
//! A write is authorised, validated and turned into the next record, the rows that go with it and an
//! entry for the trace; the caller stores all of these in one transaction, replies with the revision
//! and evaluates. Nothing here decides about the machine.
//!
//! * `memory`: facts and intent. `holds`: holds and alarms. `inbox`: messages.
//! * `rest`: `rest until` and stops. `policy_text`: the policy. `report`: what the platform says.
//! * `outcome`: what follows from a write.

mod holds;
mod inbox;
mod memory;
mod outcome;
mod policy_text;
mod report;
mod rest;

pub use inbox::{MessageRow, NoRows, Rows, Seen};
pub use outcome::{Applied, Reply, RowOp};
pub use report::Report;

use crate::limits::{CHANGE_BYTES_MAX, CHANGES_BYTES_MAX, CHANGES_MAX, NAME_BYTES_MAX};
use crate::refused::WriteRefused;
use crate::rights::Action;
use crate::selfhood::Selfhood;
use crate::trace::TraceBody;
use model::state::HoldDown;
use model::{Depth, Digest, DurationMs, Event, UnixMs};
use policy::document::AlarmText;
use policy::{Name, Policy, Writer};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What somebody wants to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Facts: a merge patch (RFC 7386) over the keys; all of it or nothing.
    Memory {
        /// By key; `null` deletes.
        patch: BTreeMap<String, Json>,
        /// Only at this revision.
        if_match: Option<u64>,
    },
    /// Intent; what is `None` stays.
    Intent {
        /// What it is for.
        objective: Option<String>,
        /// What it is busy with.
        phase: Option<String>,
        /// Whether its objective is reached.
        done: Option<bool>,
    },
    /// Puts a hold, or renews the one of this name.
    Hold {
        /// Its name.
        name: String,
        /// How long from now.
        lasts: DurationMs,
        /// Why.
        reason: String,
    },
    /// Removes a hold.
    DropHold {
        /// Its name.
        name: String,
    },
    /// Sets an alarm, or replaces the one of this name.
    Alarm {
        /// Its name.
        name: String,
        /// When it fires.
        alarm: AlarmText,
    },
    /// Removes an alarm.
    DropAlarm {
        /// Its name.
        name: String,
    },
    /// Acknowledges an alarm: one firing of it.
    AckAlarm {
        /// Its name.
        name: String,
    },
    /// Posts a message.
    Post(Message),
    /// Delivers messages: at most this many, oldest first.
    Take {
        /// How many.
        max: u32,
    },
    /// Acknowledges messages.
    Ack {
        /// Their numbers. One that was acknowledged before is passed over.
        seqs: Vec<u64>,
    },
    /// The machine goes to rest, and says what wakes it.
    RestUntil {
        /// How deep.
        mode: Depth,
        /// The condition that wakes it.
        until: Option<String>,
        /// The moment that wakes it.
        at: Option<UnixMs>,
        /// Why.
        note: String,
    },
    /// Takes that back; a machine that rests already stays down until something else wakes it.
    ClearRest,
    /// Sets the policy; `{}` is none.
    Policy {
        /// The document.
        text: String,
        /// The hash that it must have.
        hash: Option<Digest>,
        /// Only at this revision.
        if_match: Option<u64>,
    },
    /// Holds the machine down, or lets go of it: the model's own, passed on with its trace.
    HoldDown(Option<HoldDown>),
    /// A stop or suspend by the API or the machine was admitted: what wants the machine up now is
    /// silenced until it was false once or something newer arrives.
    Stop,
    /// Something the platform noticed.
    Report(Report),
    /// Closes the circuit breaker, and forgets wakes without progress.
    ResetBreaker,
}

/// A message to be posted. It is from its writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Posting it twice is posting it once.
    pub id: Option<String>,
    /// Its text.
    pub body: String,
    /// Machines that it has passed.
    pub hops: u8,
    /// It wakes the machine by itself. Without this only a rule or a `rest until` that reads
    /// `inbox.*` does.
    pub wake: bool,
}

/// Where a write falls: what is stored now.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The record.
    pub selfhood: &'a Selfhood,
    /// Its policy, compiled; [`crate::no_policy`] when there is none.
    pub policy: &'a Policy,
    /// Its message rows.
    pub rows: &'a dyn Rows,
    /// Room left for messages in the quotas of its app and host, in bytes.
    pub inbox_room: u64,
    /// The moment.
    pub now: UnixMs,
}

impl std::fmt::Debug for Ground<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ground").field("now", &self.now).finish_non_exhaustive()
    }
}

/// Applies a write by `writer`. Pure: the same arguments give the same answer.
///
/// # Errors
/// [`WriteRefused`] says why not; nothing has changed. [`refusal`] is the entry for that.
pub fn apply(ground: &Ground<'_>, write: &Write, writer: &Writer) -> Result<Applied, WriteRefused> {
    check_writer(writer)?;
    let mut draft = Draft::new(ground, writer);
    match write {
        Write::Memory { patch, if_match } => memory::patch(&mut draft, patch, *if_match)?,
        Write::Intent { objective, phase, done } => {
            memory::intent(&mut draft, objective.as_deref(), phase.as_deref(), *done)?;
        }
        Write::Hold { name, lasts, reason } => holds::put(&mut draft, name, *lasts, reason)?,
        Write::DropHold { name } => holds::remove(&mut draft, name)?,
        Write::Alarm { name, alarm } => holds::set_alarm(&mut draft, name, alarm)?,
        Write::DropAlarm { name } => holds::drop_alarm(&mut draft, name)?,
        Write::AckAlarm { name } => holds::ack_alarm(&mut draft, name)?,
        Write::Post(message) => inbox::post(&mut draft, message)?,
        Write::Take { max } => inbox::take(&mut draft, *max)?,
        Write::Ack { seqs } => inbox::ack(&mut draft, seqs)?,
        Write::RestUntil { mode, until, at, note } => {
            rest::put(&mut draft, *mode, until.as_deref(), *at, note)?;
        }
        Write::ClearRest => rest::clear(&mut draft)?,
        Write::Policy { text, hash, if_match } => {
            policy_text::put(&mut draft, text, hash.as_ref(), *if_match)?;
        }
        Write::HoldDown(hold) => rest::hold_down(&mut draft, hold.as_ref())?,
        Write::Stop => rest::stop(&mut draft)?,
        Write::Report(report) => report::note(&mut draft, report)?,
        Write::ResetBreaker => report::reset_breaker(&mut draft)?,
    }
    Ok(draft.finish(write.action()))
}

/// The entry for a write that was refused.
#[must_use]
pub fn refusal(
    ground: &Ground<'_>,
    write: &Write,
    writer: &Writer,
    why: &WriteRefused,
) -> TraceBody {
    TraceBody {
        refused: Some(why.code().to_owned()),
        changes: vec![cut(&why.to_string())],
        ..TraceBody::new(writer.clone(), write.action(), ground.selfhood)
    }
}

impl Write {
    /// What it does, for rights and trace.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::Memory { .. } => Action::Memory,
            Self::Intent { objective: Some(_), .. } => Action::Objective,
            Self::Intent { objective: None, .. } => Action::Phase,
            Self::Hold { .. } | Self::DropHold { .. } => Action::Hold,
            Self::Alarm { .. } | Self::DropAlarm { .. } => Action::Alarm,
            Self::AckAlarm { .. } => Action::AckAlarm,
            Self::Post(_) => Action::Post,
            Self::Take { .. } => Action::Take,
            Self::Ack { .. } => Action::Ack,
            Self::RestUntil { .. } => Action::Rest,
            Self::ClearRest => Action::ClearRest,
            Self::Policy { .. } => Action::Policy,
            Self::HoldDown(_) => Action::HoldDown,
            Self::Stop => Action::Stop,
            Self::Report(_) => Action::Report,
            Self::ResetBreaker => Action::ResetBreaker,
        }
    }
}

/// A write in the making.
struct Draft<'a> {
    ground: &'a Ground<'a>,
    writer: &'a Writer,
    next: Selfhood,
    ops: Vec<RowOp>,
    changes: Vec<String>,
    is_wake_relevant: bool,
    reply: Reply,
    event: Option<Event>,
    policy: Option<Policy>,
}

impl<'a> Draft<'a> {
    fn new(ground: &'a Ground<'a>, writer: &'a Writer) -> Self {
        Self {
            ground,
            writer,
            next: ground.selfhood.clone(),
            ops: Vec::new(),
            changes: Vec::new(),
            is_wake_relevant: false,
            reply: Reply::Done,
            event: None,
            policy: None,
        }
    }

    const fn now(&self) -> UnixMs {
        self.ground.now
    }

    /// The revision that this write makes.
    const fn rev(&self) -> u64 {
        self.ground.selfhood.revision + 1
    }

    /// Notes a change, in a line of the trace.
    fn changed(&mut self, line: &str) {
        self.changes.push(cut(line));
    }

    /// Notes that a name has another value; what reads it must be evaluated.
    fn touched(&mut self, is_it: impl Fn(&Name) -> bool) {
        self.is_wake_relevant |= is_read(self.ground.policy, &self.next, is_it);
    }

    fn expect_revision(&self, expected: Option<u64>) -> Result<(), WriteRefused> {
        let is = self.ground.selfhood.revision;
        match expected {
            Some(expected) if expected != is => Err(WriteRefused::Revision { expected, is }),
            Some(_) | None => Ok(()),
        }
    }

    fn finish(mut self, action: Action) -> Applied {
        let mut entry = None;
        if !self.changes.is_empty() {
            self.next.revision = self.rev();
            entry = Some(TraceBody {
                changes: listed(self.changes),
                rev_after: self.next.revision,
                policy_hash: self.next.policy.as_ref().map(|policy| policy.hash.clone()),
                ..TraceBody::new(self.writer.clone(), action, self.ground.selfhood)
            });
        }
        Applied {
            next: self.next,
            entry,
            ops: self.ops,
            is_wake_relevant: self.is_wake_relevant,
            reply: self.reply,
            event: self.event,
            policy: self.policy,
        }
    }
}

/// Whether a rule or the machine's `rest until` reads such a name. When the latter does not compile
/// it counts as reading everything.
pub(crate) fn is_read(policy: &Policy, selfhood: &Selfhood, is_it: impl Fn(&Name) -> bool) -> bool {
    let mut conditions =
        policy.rules().iter().flat_map(|rule| std::iter::once(&rule.when).chain(&rule.until));
    if conditions.any(|condition| condition.names().any(&is_it)) {
        return true;
    }
    let until = selfhood.rest.as_ref().and_then(|rest| rest.until.as_ref());
    until.is_some_and(|until| {
        policy.compile_rest_until(until).map_or(true, |condition| condition.names().any(&is_it))
    })
}

/// The record names its writers, so it could not be read back with one that is none.
fn check_writer(writer: &Writer) -> Result<(), WriteRefused> {
    let name = writer.to_string();
    match name.parse::<Writer>() {
        Ok(_) => Ok(()),
        Err(_invalid) => Err(WriteRefused::Name {
            what: "a writer",
            name: name.chars().take(NAME_BYTES_MAX).collect(),
        }),
    }
}

/// A name of a hold or alarm: what may stand behind `due.` in a condition.
fn check_name(what: &'static str, name: &str) -> Result<(), WriteRefused> {
    let is_word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_word && (1..=NAME_BYTES_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(WriteRefused::Name { what, name: name.chars().take(NAME_BYTES_MAX).collect() })
}

fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), WriteRefused> {
    if text.len() > max { Err(WriteRefused::TooLong { what, max }) } else { Ok(()) }
}

/// The lines of one entry: as many as it has room for, and how many more there were.
pub(crate) fn listed(mut lines: Vec<String>) -> Vec<String> {
    let mut room = CHANGES_BYTES_MAX;
    let fits = |line: &&String| {
        let left = room.checked_sub(Json::from(line.as_str()).to_string().len() + 1);
        room = left.unwrap_or(0);
        left.is_some()
    };
    let n_listed = lines.iter().take(CHANGES_MAX).take_while(fits).count();
    let n_more = lines.len() - n_listed;
    if n_more > 0 {
        lines.truncate(n_listed);
        lines.push(format!("and {n_more} more"));
    }
    lines
}

/// A line for the trace, at most [`CHANGE_BYTES_MAX`] long and without control characters.
pub(crate) fn cut(line: &str) -> String {
    let clean = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut out = String::new();
    for c in clean {
        if out.len() + c.len_utf8() > CHANGE_BYTES_MAX - 3 {
            out.push('…');
            break;
        }
        out.push(c);
    }
    out
}
