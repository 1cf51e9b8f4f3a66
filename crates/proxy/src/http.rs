//! Visitors that speak HTTP.
//!
//! [`connection`] tells HTTP/1.1 from h2 and watches over time; [`guard`] lets only heads through
//! that everybody reads alike; [`exchange`] is the life of one request: [`arrival`] reads it, the
//! desk gives it a machine, [`backend`] sends it over a connection of the [`pool`], [`reply`] is what
//! the program says, which may be to ask another ([`replay`], [`replaying`]). Bodies stream both
//! ways: [`tape`] up, [`flow`] down. [`rules`] are the headers, [`page`] is what we say ourselves.

mod account;
mod arrival;
mod backend;
mod chunk;
mod connection;
mod exchange;
mod flow;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod guard;
mod gzip;
mod head;
mod host;
mod id;
mod notes;
mod page;
mod pool;
mod pulse;
mod refusal;
mod replay;
mod replaying;
mod reply;
mod rules;
mod tape;
mod timing;
mod tunnel;
mod websocket;

pub(crate) use connection::serve;

use pool::Pool;
use std::sync::Arc;
use tape::Budget;

/// What is kept for all connections.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pool: Arc<Pool>,
    budget: Arc<Budget>,
}

impl Shared {
    /// Connections to programs.
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What bodies may keep.
    fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }
}

#[cfg(test)]
mod tests;
