//! What follows from a write.

use super::MessageRow;
use crate::selfhood::Selfhood;
use crate::trace::TraceBody;
use model::{Digest, Event, UnixMs};
use policy::Policy;

/// What follows from a write, to be stored in one transaction.
#[derive(Debug)]
pub struct Applied {
    /// The next record; [`Selfhood::record`] adds the entry to its trace.
    pub next: Selfhood,
    /// The entry; `None` when the write changes nothing.
    pub entry: Option<TraceBody>,
    /// What becomes of the rows beside it.
    pub ops: Vec<RowOp>,
    /// The machine must be evaluated.
    pub is_wake_relevant: bool,
    /// For the writer.
    pub reply: Reply,
    /// An event for the model, to be stepped in the same transaction.
    pub event: Option<Event>,
    /// The new policy, compiled.
    pub policy: Option<Policy>,
}

/// A change of the rows beside the record. Carrying one out twice does no harm.
#[derive(Clone, Debug, PartialEq)]
pub enum RowOp {
    /// Stores a message.
    PutMessage {
        /// The row.
        row: MessageRow,
        /// The text.
        body: String,
    },
    /// Counts a delivery.
    MarkDelivered {
        /// Its number.
        seq: u64,
        /// Deliveries so far.
        deliveries: u8,
        /// Not to be delivered again before then.
        hidden_until: UnixMs,
    },
    /// Removes an acknowledged message; its id, if it had one, is remembered until then.
    RemoveMessage {
        /// Its number.
        seq: u64,
        /// Until when the id counts.
        forget_at: UnixMs,
    },
    /// Moves a message to the dead letters, of which the newest are kept; its id as above.
    BuryMessage {
        /// Its number.
        seq: u64,
        /// Until when the id counts.
        forget_at: UnixMs,
        /// Dead letters kept.
        keep: u32,
    },
    /// Forgets the ids whose time is over.
    ForgetIds {
        /// Now.
        before: UnixMs,
    },
    /// Stores the text of a policy under its hash.
    PutPolicy {
        /// The hash.
        hash: Digest,
        /// The canonical text.
        text: String,
    },
}

/// What the writer is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reply {
    /// It is so.
    #[default]
    Done,
    /// The number of the message.
    Posted {
        /// The number.
        seq: u64,
        /// It is new; else the number is that of the first post.
        is_new: bool,
    },
    /// The messages that were delivered, by number.
    Taken {
        /// The numbers.
        seqs: Vec<u64>,
        /// When the next message becomes due for another delivery, if nothing new comes.
        again_at: Option<UnixMs>,
    },
}
