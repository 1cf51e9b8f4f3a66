//! `self/`: what a machine remembers, and what follows from it.
//!
//! The same handlers outside (`/v1/apps/{app}/machines/{id}/self/…`) and inside (`/v1/self/…`): the
//! machine is that of the path, or the one that calls. Who writes follows from who calls
//! ([`crate::auth::Identity::writer`]); who may, which values and how much is for `govern` to say.
//!
//! * `on`: a machine to write into. `show`: records as answers show them. `poll`: waiting.
//! * `memory`, `inbox`, `outbox`, `holds`, `alarms`, `rest`, `policy`, `trace`, `moving`, `peers`: the calls.

mod alarms;
mod dry_run;
mod holds;
mod inbox;
mod memory;
mod moving;
mod on;
mod outbox;
mod peers;
mod policy;
mod poll;
mod rest;
mod show;
pub(super) mod table;
mod text;
mod trace;
mod whole;

pub(super) use policy::lint_anywhere as lint;
pub(super) use show::decision;
