//! What the process is told by signals.
//!
//! SIGTERM and SIGINT: close the doors, finish what is under way, end. SIGHUP: whoever started this
//! process goes, and machines go on running; the doors stay open until a successor has them, or
//! nobody has come in time.

use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the doors stay open for a successor: many times what a restart of the daemon needs, and
/// short enough for somebody who stopped it and waits for the ports to be free.
const SUCCESSOR_MAX: Duration = Duration::from_secs(30);

/// Hears signals from now on; what is returned ends when the doors are to be closed.
pub(super) fn heard() -> impl Future<Output = io::Result<()>> {
    let signals = Signals::begin();
    async move { signals?.told_to_end().await }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn begin() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn told_to_end(mut self) -> io::Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {
                tracing::info!(at_most = ?SUCCESSOR_MAX, "the daemon goes; the doors stay open");
                tokio::select! {
                    _ = self.terminate.recv() => {}
                    _ = self.interrupt.recv() => {}
                    () = tokio::time::sleep(SUCCESSOR_MAX) => {
                        tracing::info!("no daemon has come again");
                    }
                }
            }
        }
        tracing::info!("told to end; what is under way is finished");
        Ok(())
    }
}
