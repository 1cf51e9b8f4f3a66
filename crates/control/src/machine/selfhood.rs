//! What is inside one machine's task of its governed self.
//!
//! ```text
//! write ─► apply ─┐                                   ┌─► reply
//! step ─► report ─┼─► one transaction with the step ──┼─► watchers, peers
//! wish ─► admit ──┘                                   └─► evaluate, when it may matter
//! ```
//!
//! * `own`: the record in the hands of the task. `rows`: its messages. `sight`: what the host sees.
//! * `sheet`: what one transaction stores of it. `reports`: what the platform says of a step.
//! * `leaving`: who puts it to rest. `autostop`, `parting`: its visitors have a say in that. `deepen`:
//!   asleep, its age has.
//! * `steps`: what a step means for the self. `writes`: writes from outside and inside.
//! * `evaluation`: what follows from the record. `wishes`: that, on its way through the one door.
//! * `notices`: rests that are told first. `founding`: what a machine brings along.
//! * `anew`: one that cannot be read is replaced. `usage`: CPU time. `flood`: bounds for a guest that writes without end.

mod anew;
mod autostop;
mod deepen;
mod evaluation;
mod flood;
mod founding;
mod leaving;
mod notices;
mod own;
mod parting;
mod ram;
mod reports;
mod rows;
mod sheet;
mod sight;
mod steps;
mod usage;
mod wishes;
mod writes;

pub(super) use deepen::deepens_later;
pub(super) use flood::Flood;
pub(crate) use founding::Founding;
pub(super) use notices::Notices;
pub(crate) use own::Own;
pub(super) use parting::Parting;
pub(crate) use rows::writer_of;
pub(super) use sheet::Sheet;
pub(crate) use sheet::Stored;
pub(crate) use sight::Sight;
pub(super) use steps::put_into_words;
pub(super) use usage::CpuMeter;
