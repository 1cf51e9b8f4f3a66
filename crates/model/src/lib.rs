//! What is a machine, and what happens next?
//!
//! Everything here is a value or a pure function: no I/O, clock, randomness, parser or async. The
//! shell (`control`) feeds events and time in and carries the returned effects out; because an
//! effect may run twice after a crash, each one names what it wants to be true, not a change.
//!
//! * [`state`]: the states of a machine and the data that exists in each.
//! * [`cause`]: who wants a machine up or down, and why.
//! * [`mod@admit`]: which gate stops which cause.
//! * [`bucket`]: how fast something may come.
//! * [`pressure`]: how full the data file system may be, and who is stopped before it is full.
//! * [`mod@step`]: what follows from an event.
//! * [`restart`]: the restart policy and its back-off.
//! * [`deadline`]: how long each state may last, and which timers guard it.
//! * [`mod@resume`]: what recovery carries out again for a stored state.
//! * [`mod@validate`]: what holds for every machine.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod admit;
pub mod bucket;
pub mod cause;
pub mod clock;
pub mod deadline;
pub mod effect;
pub mod event;
#[cfg(test)]
mod fixture;
pub mod ids;
pub mod pressure;
pub mod restart;
pub mod resume;
pub mod spec;
pub mod state;
pub mod step;
pub mod units;
pub mod validate;

pub use admit::calls::{Answer, Call, answer};
pub use admit::{Admission, GateFacts, Refused, admit, admit_call};
pub use cause::{Cause, Depth, LeaseNonce, Want};
pub use deadline::timers;
pub use effect::{Effect, News, NewsKind, TimerKind};
pub use event::{Event, Exit, Fault, RunSeed};
pub use ids::*;
pub use resume::resume;
pub use spec::MachineSpec;
pub use state::{Machine, Run, State};
pub use step::{Next, create, step};
pub use units::{DurationMs, PerMille, UnixMs};
pub use validate::validate;
