//! The connection to a shim, and the pool of shims that wait for a run.

mod link;
mod pool;

pub(crate) use link::{Link, LinkEvent};
pub(crate) use pool::ShimPool;
