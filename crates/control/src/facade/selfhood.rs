//! What others may ask of a machine's governed self, as types.

use govern::Selfhood;
use govern::trace::FirstBroken;
use govern::view::Idle;
use govern::write::{MessageRow, Reply};
use model::UnixMs;
use model::state::Rest;
use policy::Policy;
use serde::Serialize;
use std::sync::Arc;

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfWritten {
    /// The revision that it made, or that stands when it changed nothing.
    pub revision: u64,
    /// What the writer is told.
    pub reply: Reply,
    /// The messages that were delivered, for `Write::Take`.
    pub messages: Vec<InboxMessage>,
}

/// A message with its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InboxMessage {
    /// All but the text.
    #[serde(flatten)]
    pub row: MessageRow,
    /// The text.
    pub body: String,
}

/// All that a machine remembers.
#[derive(Clone, Debug)]
pub struct SelfRecord {
    /// The record.
    pub selfhood: Selfhood,
    /// Its policy, compiled; an empty one when it has none.
    pub policy: Arc<Policy>,
    /// The canonical text of its policy.
    pub policy_text: Option<String>,
}

/// Whether the trace is as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceCheck {
    /// How many entries were read.
    pub entries: u64,
    /// Number of the first one that is kept.
    pub first: u64,
    /// The first that is not as it was written.
    pub broken: Option<FirstBroken>,
}

/// A rest that is coming, for the machine that is to rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// What was decided.
    pub rest: Rest,
    /// When it happens unless the machine puts a hold.
    pub deadline: UnixMs,
    /// How often it may still object.
    pub vetoes_left: u8,
}

/// What the host sees of a machine at this moment; `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SignalsNow {
    /// API name of its state.
    pub state: String,
    /// Whether it is busy.
    pub idle: Option<Idle>,
    /// When its program started, while it is up.
    pub started_at: Option<UnixMs>,
    /// When it came to rest, while it rests.
    pub rested_at: Option<UnixMs>,
    /// Requests under way.
    pub inflight: Option<u32>,
    /// Inbound connections.
    pub conns_in: Option<u32>,
    /// Outbound connections with bytes in the last minute.
    pub conns_out: Option<u32>,
    /// When the last byte passed its link.
    pub net_idle_since: Option<UnixMs>,
    /// CPUs in use, mean of the last minute.
    pub cpu_1m: Option<f64>,
    /// Machines of its app that are up.
    pub app_running: Option<u32>,
    /// Its last beat.
    pub beat_at: Option<UnixMs>,
}

/// A notification that waits to be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingLetter {
    /// Its id: the same in every try.
    pub id: String,
    /// The rule that sends it.
    pub rule: String,
    /// Where to, as the rule says.
    pub to: String,
    /// When it was decided.
    pub at: UnixMs,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: UnixMs,
    /// When it is given up.
    pub until: UnixMs,
    /// Why the last try failed, in a word.
    pub last_code: Option<String>,
    /// Why the last try failed, in a sentence.
    pub last_error: Option<String>,
}
