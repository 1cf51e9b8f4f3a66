//! Messages: posted once, delivered until acknowledged, buried after the fifth delivery.

use super::{Draft, Message, Reply, RowOp, check_length};
use crate::limits::{
    DEAD_LETTERS_MAX, DELIVERIES_MAX, HOPS_MAX, INBOX_BYTES_MAX, INBOX_DEPTH_MAX,
    MESSAGE_BYTES_MAX, MESSAGE_ID_BYTES_MAX, REDELIVER_AFTER, SEEN_FOR, TAKE_MAX,
};
use crate::refused::WriteRefused;
use crate::rights::Action;
use crate::selfhood::Oldest;
use model::UnixMs;
use policy::{Name, Platform, Writer};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A message as its row has it, without the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRow {
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: Option<String>,
    /// Who posted it.
    pub from: Writer,
    /// When.
    pub at: UnixMs,
    /// Length of its text.
    pub bytes: u64,
    /// Machines that it has passed, this one included.
    pub hops: u8,
    /// It wakes the machine by itself.
    pub wake: bool,
    /// How often it was delivered.
    pub deliveries: u8,
    /// Not to be delivered again before then.
    pub hidden_until: UnixMs,
}

impl MessageRow {
    /// What the message is known by, if it has an id: posts of another writer never meet it.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        self.id.as_ref().map(|id| key_of(&self.from, id))
    }

    /// The sender's own id in a key of [`MessageRow::key`].
    #[must_use]
    pub fn id_of_key(key: &str, from: &Writer) -> String {
        key.strip_prefix(&key_of(from, "")).unwrap_or(key).to_owned()
    }
}

/// The writer's name with its length before it: no id can make up for another name.
fn key_of(from: &Writer, id: &str) -> String {
    let from = from.to_string();
    format!("{}:{from}/{id}", from.len())
}

/// An id that was posted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The number it got.
    pub seq: u64,
    /// Until when it counts; `None` while the message waits.
    pub forget_at: Option<UnixMs>,
}

/// The message rows of one machine, as they are stored; read only.
pub trait Rows {
    /// The first message with a greater number than `seq`.
    fn after(&self, seq: u64) -> Option<MessageRow>;
    /// The message of this number.
    fn message(&self, seq: u64) -> Option<MessageRow>;
    /// What became of the post with this [`MessageRow::key`].
    fn seen(&self, key: &str) -> Option<Seen>;
}

/// No messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRows;

impl Rows for NoRows {
    fn after(&self, _seq: u64) -> Option<MessageRow> {
        None
    }
    fn message(&self, _seq: u64) -> Option<MessageRow> {
        None
    }
    fn seen(&self, _key: &str) -> Option<Seen> {
        None
    }
}

pub(super) fn post(draft: &mut Draft<'_>, message: &Message) -> Result<(), WriteRefused> {
    Action::Post.check(draft.writer)?;
    let now = draft.now();
    check_length("the message", &message.body, MESSAGE_BYTES_MAX)?;
    if let Some(id) = &message.id {
        check_length("the message id", id, MESSAGE_ID_BYTES_MAX)?;
        let seen = draft.ground.rows.seen(&key_of(draft.writer, id));
        if let Some(seen) = seen.filter(|seen| seen.forget_at.is_none_or(|end| now < end)) {
            draft.reply = Reply::Posted { seq: seen.seq, is_new: false };
            return Ok(());
        }
    }
    if message.hops >= HOPS_MAX {
        return Err(WriteRefused::Hops { hops: message.hops });
    }
    let bytes = u64::try_from(message.body.len()).unwrap_or(u64::MAX);
    check_room(draft, bytes)?;
    let rev = draft.rev();
    let inbox = &mut draft.next.inbox;
    let seq = inbox.next_seq;
    inbox.next_seq += 1;
    inbox.depth += 1;
    inbox.bytes += bytes;
    inbox.posted_rev = rev;
    inbox.posted_at = now;
    inbox.hops = message.hops + 1;
    inbox.oldest.get_or_insert(Oldest { seq, at: now });
    if message.wake {
        inbox.wakes += 1;
        inbox.wake_seq = seq;
        inbox.wake_at = now;
        inbox.attempts = 0;
        inbox.spent_in = None;
    }
    let row = MessageRow {
        seq,
        id: message.id.clone(),
        from: draft.writer.clone(),
        at: now,
        bytes,
        hops: message.hops + 1,
        wake: message.wake,
        deliveries: 0,
        hidden_until: UnixMs(0),
    };
    draft.ops.push(RowOp::PutMessage { row, body: message.body.clone() });
    draft.reply = Reply::Posted { seq, is_new: true };
    draft.changed(&format!("message {seq} of {bytes} bytes"));
    draft.is_wake_relevant |= message.wake;
    draft.touched(is_inbox);
    Ok(())
}

fn check_room(draft: &Draft<'_>, bytes: u64) -> Result<(), WriteRefused> {
    let inbox = &draft.next.inbox;
    let what = if inbox.depth >= INBOX_DEPTH_MAX {
        "1,000 messages wait"
    } else if inbox.bytes + bytes > INBOX_BYTES_MAX {
        "4 MiB of messages wait"
    } else if bytes > draft.ground.inbox_room {
        "the quota of the app or host is used up"
    } else {
        return Ok(());
    };
    Err(WriteRefused::InboxFull { what })
}

const fn is_inbox(name: &Name) -> bool {
    matches!(name, Name::Platform(Platform::InboxDepth | Platform::InboxOldest))
}

/// Delivers what is not hidden, oldest first. What was delivered five times already is buried.
pub(super) fn take(draft: &mut Draft<'_>, max: u32) -> Result<(), WriteRefused> {
    Action::Take.check(draft.writer)?;
    let now = draft.now();
    let max = usize::try_from(max.min(TAKE_MAX)).unwrap_or(usize::MAX);
    let mut seqs = Vec::new();
    let mut buried = BTreeMap::new();
    let mut again_at: Option<UnixMs> = None;
    let mut last = 0;
    while seqs.len() < max
        && let Some(row) = draft.ground.rows.after(last)
    {
        last = row.seq;
        // A hiding longer than any means that the clock went back.
        let is_hidden = now < row.hidden_until && row.hidden_until.since(now) <= REDELIVER_AFTER;
        if is_hidden {
            again_at = Some(again_at.map_or(row.hidden_until, |at| at.min(row.hidden_until)));
        } else if row.deliveries >= DELIVERIES_MAX {
            buried.insert(row.seq, row);
        } else {
            let (seq, deliveries) = (row.seq, row.deliveries + 1);
            let hidden_until = now.plus(REDELIVER_AFTER);
            draft.ops.push(RowOp::MarkDelivered { seq, deliveries, hidden_until });
            again_at = Some(again_at.map_or(hidden_until, |at| at.min(hidden_until)));
            seqs.push(seq);
        }
    }
    let forget_at = now.plus(SEEN_FOR);
    for seq in buried.keys() {
        draft.ops.push(RowOp::BuryMessage { seq: *seq, forget_at, keep: DEAD_LETTERS_MAX });
        draft.changed(&format!("message {seq} is a dead letter"));
        draft.next.inbox.dead += 1;
    }
    if !seqs.is_empty() {
        draft.changed(&format!("messages {seqs:?} delivered"));
    }
    gone(draft, &buried);
    if !draft.changes.is_empty() {
        draft.next.inbox.touched_at = now;
        draft.next.inbox.spent_in = None;
        draft.is_wake_relevant |= draft.next.inbox.wakes > 0;
    }
    draft.reply = Reply::Taken { seqs, again_at };
    Ok(())
}

pub(super) fn ack(draft: &mut Draft<'_>, seqs: &[u64]) -> Result<(), WriteRefused> {
    Action::Ack.check(draft.writer)?;
    if seqs.len() > usize::try_from(TAKE_MAX).unwrap_or(usize::MAX) {
        return Err(WriteRefused::Full { what: "messages in one ack", max: 100 });
    }
    if let Some(seq) = seqs.iter().find(|seq| **seq == 0 || **seq >= draft.next.inbox.next_seq) {
        return Err(WriteRefused::Missing { what: "message", name: seq.to_string() });
    }
    let rows = draft.ground.rows;
    let acked: BTreeMap<u64, MessageRow> =
        seqs.iter().filter_map(|seq| Some((*seq, rows.message(*seq)?))).collect();
    if acked.is_empty() {
        return Ok(());
    }
    let now = draft.now();
    let forget_at = now.plus(SEEN_FOR);
    draft.ops.extend(acked.keys().map(|seq| RowOp::RemoveMessage { seq: *seq, forget_at }));
    draft.ops.push(RowOp::ForgetIds { before: now });
    gone(draft, &acked);
    let inbox = &mut draft.next.inbox;
    inbox.touched_at = now;
    inbox.attempts = 0;
    inbox.spent_in = None;
    super::report::progress(&mut draft.next);
    draft.changed(&format!("messages {:?} acknowledged", acked.keys().collect::<Vec<_>>()));
    Ok(())
}

/// These messages wait no longer.
fn gone(draft: &mut Draft<'_>, rows: &BTreeMap<u64, MessageRow>) {
    if rows.is_empty() {
        return;
    }
    let gone: BTreeSet<u64> = rows.keys().copied().collect();
    let mut oldest = draft.next.inbox.oldest;
    while let Some(first) = oldest.filter(|first| gone.contains(&first.seq)) {
        let next = draft.ground.rows.after(first.seq);
        oldest = next.map(|row| Oldest { seq: row.seq, at: row.at });
    }
    let inbox = &mut draft.next.inbox;
    inbox.oldest = oldest;
    for row in rows.values() {
        inbox.depth = inbox.depth.saturating_sub(1);
        inbox.bytes = inbox.bytes.saturating_sub(row.bytes);
        inbox.wakes = inbox.wakes.saturating_sub(u32::from(row.wake));
        draft.is_wake_relevant |= row.wake;
    }
    draft.touched(is_inbox);
}
