//! Who is knocking, and should it wake?
//!
//! This room is a process of its own that keeps the doors of all services open, also while control
//! is away or is replaced. It knows the records of apps and machines that control sent (`table`,
//! `persist`), how much each machine has to do and who waits for one (`desk`), and passes the
//! bytes of visitors on (`visit`, `http`). It decides nothing about machines: who needs one that
//! does not run knocks at control's (`control_link`) and is held until the answer.
//!
//! Everything that is decided is decided under one lock in `book`, which does no I/O; the rest
//! carries bytes. The main thread lives in the instance's router namespace, so that a connection to
//! a machine is an ordinary one; listeners are bound by a thread that stayed outside
//! (`process::binder`).

mod access_log;
mod book;
mod checks;
mod control_link;
mod desk;
mod dice;
mod dns_zone;
mod error;
#[cfg(test)]
mod fixture;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod load;
mod metrics;
pub mod options;
mod persist;
mod process;
mod table;
mod turned;
mod visit;

pub use error::ProxyError;
pub use options::{Ground, ProxyOptions};
pub use process::{living, run, run_until};
