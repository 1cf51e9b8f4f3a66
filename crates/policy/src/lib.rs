//! What does the text of a rule mean?
//!
//! A policy document becomes a checked [`Policy`]; its rules, evaluated over a snapshot of values,
//! give three-valued answers with everything that was read; time alone changes an answer at a moment
//! that can be computed, so nobody ever has to look periodically. This crate decides nothing about
//! machines, and has no I/O, clock, randomness or async: values and time are arguments.
//!
//! * [`document`]: the JSON of a policy. [`Policy`]: the same, checked and compiled.
//! * [`names`]: the words that conditions may use, in one table.
//! * `cel`: conditions, from text to answer and to the next crossing.
//! * [`reading`]: where values come from, and what an answer carries.
//! * [`standing`]: `for`, `until`, `release_for`, `cooldown`.
//! * [`alarm`]: when an alarm fires. [`mod@write`]: may this be written into the memory?
//! * [`mod@lint`], [`mod@dry_run`]: what a policy means before it is set. [`amend`]: may the machine
//!   itself set it?
//! * [`limits`]: how much of everything there may be.

pub mod alarm;
pub mod amend;
pub mod canonical;
mod cel;
mod condition;
pub mod document;
pub mod dry_run;
mod fact_type;
pub mod finding;
pub mod limits;
pub mod lint;
pub mod names;
pub mod period;
mod policy;
pub mod reading;
mod shape;
pub mod standing;
pub mod text;
mod unique;
pub mod value;
pub mod write;
pub mod writer;

pub use alarm::{Alarm, AlarmError, Due};
pub use amend::AmendRefused;
pub use condition::Condition;
pub use document::{Document, DocumentError, Effect};
pub use dry_run::{RuleReport, dry_run};
pub use fact_type::FactType;
pub use finding::{Finding, Severity};
pub use lint::{lint, lint_text};
pub use names::{Name, Platform};
pub use policy::{Policy, Rule};
pub use reading::{
    Absence, Level, Observed, Outcome, Read, Reading, Recorded, Truth, Unknown, Values,
};
pub use standing::{Advanced, Edge, Phase, RuleState, Timing, advance};
pub use text::TextError;
pub use value::{Type, Value};
pub use write::{Accepted, MemorySize, Write, WriteRefused, check_fact, check_write};
pub use writer::{Writer, WriterPattern};
