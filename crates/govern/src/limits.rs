//! How much a machine may remember, and how long things last.
//!
//! Where no source is named, the figure is a choice, and its doc says why.

use model::DurationMs;

pub use policy::limits::{ALARMS_MAX, NAME_BYTES_MAX};

/// Objective and phase together, in bytes. Source: design, section 7.
pub const INTENT_BYTES_MAX: usize = 4 * 1024;

/// Holds of one machine. Source: design, section 7.
pub const HOLDS_MAX: usize = 16;

/// Longest hold; it may be renewed. Source: design, section 7.
pub const HOLD_MAX: DurationMs = DurationMs::from_secs(3600);

/// Length of a reason or note, in bytes: a sentence.
pub const REASON_BYTES_MAX: usize = 256;

/// Messages of one inbox that wait for an ack. Source: design, section 7.
pub const INBOX_DEPTH_MAX: u32 = 1_000;

/// Their bodies together, in bytes. Source: design, section 7.
pub const INBOX_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One message's body, in bytes: the bodies that webhooks send are smaller.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// A message's id, in bytes: any UUID or ULID with a prefix.
pub const MESSAGE_ID_BYTES_MAX: usize = 128;

/// How long the id of an acknowledged message is remembered. Source: design, section 7.
pub const SEEN_FOR: DurationMs = DurationMs::from_secs(24 * 3600);

/// Deliveries of one message without an ack; then it is a dead letter. Source: design, section 7.
pub const DELIVERIES_MAX: u8 = 5;

/// A delivered message that was not acknowledged is delivered again after this long.
pub const REDELIVER_AFTER: DurationMs = DurationMs::from_secs(60);

/// Messages of one delivery, and of one ack.
pub const TAKE_MAX: u32 = 100;

/// Dead letters that are kept for their readers; older ones go.
pub const DEAD_LETTERS_MAX: u32 = 100;

/// What a machine sends so long after a message may still be its answer: longer than it waits behind
/// a back-off. Of circles of messages that are slower than this, none does harm.
pub const ANSWER_MAX: DurationMs = DurationMs::from_secs(2 * 3600);

/// Machines that a message may have passed. Source: design, section 7.
pub const HOPS_MAX: u8 = 8;

/// How long a message posted with `wake` keeps a machine awake that does not touch its inbox: ten
/// times the slowest start that anybody waits for.
pub const MESSAGE_PATIENCE: DurationMs = DurationMs::from_secs(300);

/// How often a machine is woken for a message that it never acknowledges; as often as one is
/// delivered.
pub const MESSAGE_WAKES_MAX: u8 = DELIVERIES_MAX;

/// Wakes in a row that may fail before the circuit breaker opens: one may be chance, two bad luck.
pub const WAKE_FAILURES_MAX: u32 = 3;

/// How long the circuit breaker stays open at first; doubles each time. Source: design, section 7.
pub const BREAKER_FIRST: DurationMs = DurationMs::from_secs(60);

/// Longest time it stays open. Source: design, section 7.
pub const BREAKER_MAX: DurationMs = DurationMs::from_secs(3600);

/// Wakes in a row without progress that have no consequence.
pub const IDLE_WAKES_FREE: u32 = 2;

/// First back-off after them; doubles each time up to [`BREAKER_MAX`].
pub const IDLE_WAKES_FIRST: DurationMs = DurationMs::from_secs(60);

/// The window of the wake budget. Source: design, section 7.
pub const BUDGET_WINDOW: DurationMs = DurationMs::from_secs(3600);

/// Governed wakes that are remembered for the budget: one more than it allows.
pub const WAKES_REMEMBERED: usize = 32;

/// A rest that the machine asked for and that could not begin is forgotten after this long: its
/// program has gone on meanwhile.
pub const REST_ASKED_MAX: DurationMs = DurationMs::from_secs(60);

/// Furthest `at` of a `rest until`: one leap year.
pub const REST_MAX: DurationMs = policy::limits::PERIOD_MAX;

/// Vetoes in a row against a rest. Source: design, section 7.
pub const VETOES_MAX: u8 = 3;

/// Entries of one trace; then the oldest are cut off. Source: design, section 7.
pub const TRACE_ENTRIES_MAX: u64 = 10_000;

/// Entries cut off at once, so that cutting is rare.
pub const TRACE_CUT: u64 = 1_000;

/// How long an entry is kept. Source: design, section 7.
pub const TRACE_AGE_MAX: DurationMs = DurationMs::from_secs(90 * 24 * 3600);

/// Length of one line about a change in the trace, in bytes.
pub const CHANGE_BYTES_MAX: usize = 160;

/// Changes listed in one entry; the last line counts the others.
pub const CHANGES_MAX: usize = 16;

/// They together, in bytes of JSON: so an entry of a write stays below 4 KiB, and a whole trace of
/// them below 40 MB.
pub const CHANGES_BYTES_MAX: usize = 3 * 1024;

/// Bytes of a decision's entry as JSON: what twenty rules read and answer. Of a larger one only the
/// decision is kept, and who prevailed.
pub const DECISION_BYTES_MAX: usize = 8 * 1024;

/// Largest number in a record that comes from elsewhere: JSON readers everywhere read it exactly, and
/// counting on from it never overflows.
pub const COUNT_MAX: u64 = 1 << 53;

/// Bytes of one record as JSON, whatever was written to it: 64 KiB of facts with what is known about
/// each, and everything else at its own limit.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;
