//! Telling connections that the process is about to end.

use tokio::sync::watch;

/// Says when the process begins to end: what is under way is finished, nothing new is begun.
#[derive(Clone, Debug)]
pub(crate) struct DrainToken {
    told: watch::Receiver<bool>,
}

/// The other end.
#[derive(Debug)]
pub(crate) struct Drain {
    tell: watch::Sender<bool>,
}

impl Drain {
    /// Nobody is told yet.
    pub(crate) fn new() -> Self {
        Self { tell: watch::Sender::new(false) }
    }

    /// A token of it.
    pub(crate) fn token(&self) -> DrainToken {
        DrainToken { told: self.tell.subscribe() }
    }

    /// Tells all.
    pub(crate) fn begin(&self) {
        self.tell.send_replace(true);
    }
}

impl DrainToken {
    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        *self.told.borrow()
    }

    /// Returns when it begins; also when whoever could begin it is gone.
    pub(crate) async fn begun(&mut self) {
        // An error says that the sender is gone: the process ends.
        drop(self.told.wait_for(|told| *told).await);
    }
}
