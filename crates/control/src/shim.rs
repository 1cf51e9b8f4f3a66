//! The connection to a shim, and the pool of shims that wait for a run.

mod link;
pub(crate) mod orphans;
mod pool;

pub(crate) use link::{Link, LinkEvent};
pub(crate) use pool::{ShimPool, ShimProcess, command};
