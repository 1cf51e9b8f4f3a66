//! `self/`: what a machine remembers, and what follows from it.
//!
//! The same shapes outside (`/v1/apps/{app}/machines/{id}/self/…`) and inside (`/v1/self/…`). Habits
//! of their own, because no other API has these calls: an answer carries the `revision` it shows or
//! made; a moment is RFC 3339, in answers in UTC; a request with a field that nobody knows is
//! refused, because a rule that is silently not what it was meant to be is found out too late.
//!
//! * `moment`, `span`: time. `memory`: facts and intent. `inbox`: messages. `holds`: holds and
//!   alarms. `rest`: rests, wakes, hold-down. `policy`: policies, lint, dry-run. `trace`: explain,
//!   trace, replay. `whole`: all at once.

mod holds;
mod inbox;
mod memory;
mod moment;
mod outbox;
mod policy;
mod rest;
mod span;
mod trace;
mod whole;

#[cfg(test)]
mod tests;

pub use holds::{Alarm, AlarmMissed, AlarmPut, Alarms, DueAlarm, Hold, HoldPut, Holds};
pub use inbox::{
    Acked, DeadLetters, InboxCounts, InboxPage, Message, MessagesAck, MessagesTake, Oldest, Post,
    Posted, Taken,
};
pub use memory::{Fact, FactReply, Intent, IntentChange, IntentReply, Memory, MemoryPatch};
pub use moment::Moment;
pub use outbox::{Letter, Outbox};
pub use policy::{
    Answer, Candidate, DryRun, DryRunRequest, DryWrite, Finding, Lint, Notification, Policy,
    PolicySet, RuleSays, ValueRead,
};
pub use rest::{
    Decision, HoldDown, HoldDownPut, HoldDownReply, Notice, NoticeReply, Rest, RestAsked, RestPut,
    Wake, WakeReply,
};
pub use span::Span;
pub use trace::{
    BrokenEntry, Explanation, Keeper, Next, Replayed, Replays, TraceCheck, TraceHead, TracePage,
};
pub use whole::{PeerMemory, PeerState, PolicyNamed, Signals, SignalsNow, Tally, Usage, Whole};

pub use govern::{Export, TraceEntry};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Header with the revision that an answer shows or made.
pub const REVISION_HEADER: &str = "dormouse-revision";

/// Header of a start that was refused: what the governor has decided, in a line.
pub const DECISION_HEADER: &str = "dormouse-decision";

/// Header that names a message: posting it twice is posting it once.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// Longest poll, in seconds: what front ends allow a request to take.
pub const POLL_MAX_S: u64 = 60;

/// Entries or messages in one answer when the caller names no limit.
pub const PAGE_DEFAULT: u32 = 100;

/// Messages of one page: with the longest text it has 25 MiB.
pub const MESSAGE_PAGE_MAX: u32 = govern::limits::TAKE_MAX;

/// Entries of one page of a trace.
pub const TRACE_PAGE_MAX: u32 = 1_000;

/// Writes of one dry run.
pub const DRY_WRITES_MAX: usize = 64;

/// Answer to a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// The revision after it; the one before it, when it changed nothing.
    pub revision: u64,
}
