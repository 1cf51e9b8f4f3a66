//! The daemon's own log: events with fields on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// Variable that chooses levels, e.g. `info,control=debug`.
pub const LEVEL_VARIABLE: &str = "DORMOUSE_LOG";

/// Starts to write the log of this process; later calls change nothing.
pub fn begin() {
    let filter = EnvFilter::try_from_env(LEVEL_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(SystemTime)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // Only a second call can fail, and then the first one's log goes on.
    log.try_init().unwrap_or_default();
}
