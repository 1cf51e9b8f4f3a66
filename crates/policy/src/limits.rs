//! How much of everything a policy may have.
//!
//! A policy is read, checked and evaluated by the daemon for everybody, so nothing in it may grow
//! without end. Where no source is named, the figure is a choice: several times what the worked
//! policies need, and small enough that the worst case costs microseconds.

use model::DurationMs;

/// Length of a policy document, in bytes of JSON.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// Rules of one policy.
pub const RULES_MAX: usize = 64;

/// Declared facts of one policy. Source: design, section 7 (keys of a memory).
pub const FACTS_MAX: usize = 128;

/// Alarms of one machine. Source: design, section 7.
pub const ALARMS_MAX: usize = 32;

/// Peers that one policy describes.
pub const PEERS_MAX: usize = 16;

/// Length of a rule id, an alarm's name, a peer's name or a fact's key, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Length of a free text in a policy (`note`, `to`), in bytes.
pub const NOTE_BYTES_MAX: usize = 512;

/// Length of one condition, in bytes. Source: design, section 7.
pub const CONDITION_BYTES_MAX: usize = 1024;

/// Brackets, calls and choices inside each other in one condition.
///
/// The parser needs under 2 KiB of stack for each level, so a condition needs less than 64 KiB of
/// any thread's stack.
pub const NESTING_MAX: u16 = 32;

/// Operators upon operators: the height of a condition's tree. Bounds the recursion of every pass.
pub const HEIGHT_MAX: u16 = 64;

/// Parts of one condition. Each is visited at most once, so this bounds the steps of an evaluation.
pub const NODES_MAX: usize = 512;

/// Length of a text that a condition computes, in bytes.
pub const COMPUTED_TEXT_BYTES_MAX: usize = 4 * 1024;

/// Length of one fact's value, in bytes of compact JSON. Source: design, section 7.
pub const VALUE_BYTES_MAX: usize = 4 * 1024;

/// Arrays and objects inside each other in one fact's value.
///
/// The record of a machine has each value a few levels down and must be read back by a reader of
/// JSON that refuses more than 128 levels.
pub const VALUE_DEPTH_MAX: usize = 32;

/// All keys and values of one memory, in bytes. Source: design, section 7.
pub const MEMORY_BYTES_MAX: usize = 64 * 1024;

/// Keys of one memory, the undeclared ones included. Source: design, section 7.
pub const KEYS_MAX: usize = 128;

/// Values that a fact's `enum` may list.
pub const ENUM_MAX: usize = 64;

/// Writers that a fact or a transition may name.
pub const WRITERS_MAX: usize = 16;

/// Transitions of one fact.
pub const TRANSITIONS_MAX: usize = 64;

/// Longest period anywhere in a policy: one leap year.
pub const PERIOD_MAX: DurationMs = DurationMs::from_secs(366 * 24 * 3600);

/// Shortest `every` of an alarm.
pub const EVERY_MIN: DurationMs = DurationMs::from_secs(1);

/// Length of a cron pattern, in bytes: a list of every minute has 169.
pub const CRON_BYTES_MAX: usize = 256;

/// An alarm found due later than this was missed, and its `missed` setting decides.
///
/// One minute is the grain of cron, and twelve times the slowest start of the daemon.
pub const MISSED_AFTER: DurationMs = DurationMs::from_secs(60);

/// Firings that `missed: all` makes up for at once; older ones are counted, not fired.
pub const CATCH_UP_MAX: usize = 100;

/// A hold rule whose condition is unknown keeps its last value this long. Source: design, section 7.
pub const UNKNOWN_HOLD_MAX: DurationMs = DurationMs::from_secs(3600);

/// Evaluations that one lint may spend on looking for conflicts: about 0.2 s.
pub const LINT_EVALUATIONS_MAX: usize = 200_000;

/// Assignments that the lint tries for one pair of rules.
pub const LINT_ASSIGNMENTS_MAX: usize = 4096;

/// Furthest moment of time that anything looks at: the end of the year 9999, in Unix milliseconds.
pub const TIME_MAX_MS: u64 = 253_402_300_799_999;
