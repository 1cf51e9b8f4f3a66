//! What does a machine remember, and what follows from it?
//!
//! A record is loaded ([`Selfhood`]), a write applied to it ([`apply`]), the next record evaluated
//! ([`evaluate()`]), and the answer brought to the one door. This crate is all of that without I/O,
//! clock, randomness or async: the record, the rows that are asked for, what the host sees and the
//! time are arguments, and everything returned is a value.
//!
//! ```text
//!            Write, Writer                    View, now
//!                 ▼                               ▼
//! Selfhood ───► apply ───► next, entry, ops ───► evaluate ───► next, wish, gates, next_at, entry
//! ```
//!
//! * [`selfhood`]: the record. [`limits`]: how much of everything.
//! * [`mod@write`]: what can be written. [`rights`]: by whom. [`refused`]: why not.
//! * [`view`]: what the host knows. [`values`]: what rules read.
//! * [`mod@evaluate`]: what follows. [`verdict`]: in which words. [`mod@beat`]: "I am alive".
//! * [`trace`]: the chain of what was done and why. [`mod@explain`]: a sentence about it.
//! * [`mod@dry_run`]: what would be. [`mod@export`]: from host to host.

pub mod beat;
mod calendar;
mod canonical;
pub mod dry_run;
pub mod evaluate;
pub mod explain;
pub mod export;
pub mod limits;
pub mod post;
pub mod refused;
pub mod renew;
pub mod rights;
pub mod selfhood;
pub mod trace;
pub mod values;
pub mod verdict;
pub mod view;
pub mod write;

pub use dry_run::{DryRun, dry_run};
pub use evaluate::{evaluate, knock};
pub use explain::{Explanation, Keeper, explain, wish_words};
pub use export::{Export, export, import};
pub use policy::Writer;
pub use refused::WriteRefused;
pub use rights::Action;
pub use selfhood::Selfhood;
pub use trace::{Replay, TraceBody, TraceEntry, replay, verify};
pub use verdict::{Stance, Verdict};
pub use view::{Peers, View};
pub use write::{Applied, Ground, Report, RowOp, Rows, Write, apply, refusal};

use policy::{Document, Policy};

/// The policy of a machine that has none: no facts, no rules.
#[must_use]
pub fn no_policy() -> Policy {
    Policy::compile(Document::default()).expect("an empty document has nothing wrong with it")
}
