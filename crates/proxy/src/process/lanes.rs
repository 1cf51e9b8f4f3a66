//! Threads that serve visitors, each with a runtime of its own.
//!
//! One thread drives a visitor's connection and the connections to programs that its requests use
//! ([`crate::http::pool`] keeps them apart by thread). So nothing within a request wakes another
//! thread, which costs more than all of our own work on a small answer.

use crate::error::ProxyError;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Most threads; one for each CPU up to here.
const LANES_MAX: usize = 16;

/// The threads. They end, and cut what they serve, when this is dropped.
#[derive(Debug)]
pub(crate) struct Lanes {
    all: Vec<Lane>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Lane {
    runtime: Handle,
    /// The thread ends when this is dropped.
    _life: oneshot::Sender<()>,
}

impl Lanes {
    /// One for each CPU. They are born in the namespaces of the caller.
    ///
    /// # Errors
    /// [`ProxyError`]: the host has no thread or descriptor to spare.
    pub(crate) fn open() -> Result<Self, ProxyError> {
        let n_cpus = thread::available_parallelism().map_or(1, usize::from);
        let all = (0..n_cpus.min(LANES_MAX)).map(open_one).collect::<Result<_, _>>()?;
        Ok(Self { all, next: AtomicUsize::new(0) })
    }

    /// Begins to serve a visitor.
    pub(crate) fn spawn(&self, visit: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let lane = &self.all[turn % self.all.len()];
        drop(lane.runtime.spawn(visit));
    }
}

fn open_one(number: usize) -> Result<Lane, ProxyError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ProxyError::host("start a runtime for visitors"))?;
    let (life, end) = oneshot::channel();
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name(format!("lane-{number}"))
        .spawn(move || {
            // An error says that nobody holds the other end any more, which is what it waits for.
            drop(runtime.block_on(end));
            runtime.shutdown_background();
        })
        .map_err(ProxyError::host("start a thread for visitors"))?;
    Ok(Lane { runtime: handle, _life: life })
}
