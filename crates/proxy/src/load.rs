//! How much does a machine have to do, as the proxy sees it?

use model::{MachineId, UnixMs};
use proxy_proto::Load;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// What a place counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    /// One request.
    Request,
    /// One connection.
    Connection,
    /// A WebSocket or another stream that a request has become.
    Upgraded,
}

/// How a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunPhase {
    /// It runs.
    Up,
    /// It is about to end: connections that can be told to go away are told.
    Draining,
    /// It is over: nothing will answer any more.
    Ended,
}

/// When a byte of a visitor was last passed on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Just now.
    pub(crate) fn beat(&self, now: UnixMs) {
        self.0.fetch_max(now.0, Ordering::Relaxed);
    }

    /// When; `None` before the first.
    pub(crate) fn last(&self) -> Option<UnixMs> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            at => Some(UnixMs(at)),
        }
    }
}

/// One run of a machine and what it has to do.
#[derive(Debug)]
pub(crate) struct RunLoad {
    /// Its name.
    pub(crate) run: String,
    phase: watch::Sender<RunPhase>,
    by_service: BTreeMap<u16, u32>,
    n_requests: u32,
    n_connections: u32,
    n_upgraded: u32,
}

impl RunLoad {
    /// A run that has nothing to do yet.
    pub(crate) fn new(run: String) -> Self {
        Self {
            run,
            phase: watch::Sender::new(RunPhase::Up),
            by_service: BTreeMap::new(),
            n_requests: 0,
            n_connections: 0,
            n_upgraded: 0,
        }
    }

    /// Tells all who hold a place how the run goes on.
    pub(crate) fn tell(&self, phase: RunPhase) {
        self.phase.send_if_modified(|old| std::mem::replace(old, phase) != phase);
    }

    /// Hears what [`Self::tell`] says.
    pub(crate) fn phase(&self) -> watch::Receiver<RunPhase> {
        self.phase.subscribe()
    }

    /// One more.
    pub(crate) fn take(&mut self, internal_port: u16, kind: PlaceKind) {
        *self.by_service.entry(internal_port).or_default() += 1;
        *self.counter(kind) += 1;
    }

    /// One less.
    pub(crate) fn give_back(&mut self, internal_port: u16, kind: PlaceKind) {
        let at_service = self.by_service.entry(internal_port).or_default();
        *at_service = at_service.saturating_sub(1);
        let counter = self.counter(kind);
        *counter = counter.saturating_sub(1);
    }

    /// A request has become a stream.
    pub(crate) fn upgrade(&mut self) {
        self.n_requests = self.n_requests.saturating_sub(1);
        self.n_upgraded += 1;
    }

    /// What one service has to do.
    pub(crate) fn of_service(&self, internal_port: u16) -> u32 {
        self.by_service.get(&internal_port).copied().unwrap_or(0)
    }

    /// Everything it has to do.
    pub(crate) const fn total(&self) -> u32 {
        self.n_requests + self.n_connections + self.n_upgraded
    }

    /// As control is told; WebSockets count as requests too.
    pub(crate) fn report(&self, machine: &MachineId, last_at: Option<UnixMs>) -> Load {
        Load {
            machine: machine.clone(),
            n_requests: self.n_requests + self.n_upgraded,
            n_connections: self.n_connections + self.n_upgraded,
            n_upgraded: self.n_upgraded,
            is_over_soft: false,
            last_at,
        }
    }

    const fn counter(&mut self, kind: PlaceKind) -> &mut u32 {
        match kind {
            PlaceKind::Request => &mut self.n_requests,
            PlaceKind::Connection => &mut self.n_connections,
            PlaceKind::Upgraded => &mut self.n_upgraded,
        }
    }
}

/// The load of a machine that has nothing to do.
pub(crate) fn nothing(machine: &MachineId, last_at: Option<UnixMs>) -> Load {
    Load {
        machine: machine.clone(),
        n_requests: 0,
        n_connections: 0,
        n_upgraded: 0,
        is_over_soft: false,
        last_at,
    }
}
