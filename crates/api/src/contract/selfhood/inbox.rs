//! Messages.

use super::{Moment, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Body of `POST self/inbox` as JSON. Any other content type is the text of the message itself; then
/// `id`, `wake` and `hops` may stand in the query.
pub use govern::post::Post;

/// Answer to a post: 201, or 200 when it had been posted before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Posted {
    /// The revision after it.
    pub revision: u64,
    /// Number of the message.
    pub seq: u64,
    /// It is new; else the number is that of the first post.
    pub new: bool,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Its number.
    pub seq: u64,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who posted it.
    pub from: String,
    /// When.
    pub at: Moment,
    /// Its text.
    pub body: String,
    /// Machines that it has passed, this one included.
    pub hops: u8,
    /// It wakes the machine by itself.
    pub wake: bool,
    /// How often it was delivered.
    pub deliveries: u8,
    /// Delivered, and not delivered again before then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_until: Option<Moment>,
}

/// What is in an inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboxCounts {
    /// Messages that wait for an ack.
    pub depth: u32,
    /// Their texts, in bytes.
    pub bytes: u64,
    /// The oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Oldest>,
    /// The number that the next message gets.
    pub next_seq: u64,
    /// Messages among them that wake the machine by themselves.
    pub wakes: u32,
    /// Messages that became dead letters.
    pub dead: u64,
}

/// The oldest message that waits for an ack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Oldest {
    /// Its number.
    pub seq: u64,
    /// When it came.
    pub at: Moment,
}

/// Answer to `GET self/inbox`: messages are looked at, not delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InboxPage {
    /// The machine's revision.
    pub revision: u64,
    /// What is in the inbox.
    #[serde(flatten)]
    pub counts: InboxCounts,
    /// The messages of this page, oldest first; the next page is `?after=` the last of them.
    pub messages: Vec<Message>,
}

/// Body of `POST self/inbox/take`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MessagesTake {
    /// How many at most; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// How long to wait for one; not at all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// Answer to a take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Taken {
    /// The revision after it.
    pub revision: u64,
    /// The messages that were delivered; to be acknowledged.
    pub messages: Vec<Message>,
    /// When a message is next delivered again, if nothing new comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_at: Option<Moment>,
}

/// Body of `POST self/inbox/ack`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessagesAck {
    /// Numbers, at most 100. One that was acknowledged before is passed over.
    pub seqs: Vec<u64>,
}

/// Answer to an ack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acked {
    /// The revision after it.
    pub revision: u64,
    /// Messages that still wait for one.
    pub depth: u32,
}

/// Answer to `GET self/inbox/dead`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetters {
    /// The machine's revision.
    pub revision: u64,
    /// How many there have been; the newest are kept.
    pub dead: u64,
    /// Messages that were delivered five times without an ack, newest first.
    pub messages: Vec<Message>,
}
