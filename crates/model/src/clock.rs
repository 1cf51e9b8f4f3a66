//! The one place that reads the wall clock.
//!
//! Not used by `admit` or `step`: the shell reads the clock here and passes the moment in.
//!
//! A test may set the clock of one instance, which no kernel lets it do otherwise: with
//! `DORMOUSE_CLOCK` in its environment, a process adds the milliseconds that this file holds (a
//! number with its sign, or nothing) to what the host says. The file is read each time; whoever waits
//! for jumps of the clock watches it ([`pretence`]). A file that cannot be read, or holds something
//! else, ends the process: a test that believes it is setting the clock must not run without that.

use crate::units::UnixMs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The wall clock now.
///
/// A clock set before 1970 reads as zero: a wrong time must not stop a machine.
#[must_use]
pub fn now() -> UnixMs {
    let host = host();
    match pretence() {
        None => host,
        Some(file) => UnixMs(host.0.saturating_add_signed(shift(file))),
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the one reader the lint points to")]
fn host() -> UnixMs {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(UnixMs(0), |d| UnixMs(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
}

/// The file by which a test sets the clock of this process; `None` everywhere else.
#[must_use]
pub fn pretence() -> Option<&'static Path> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    FILE.get_or_init(|| std::env::var_os("DORMOUSE_CLOCK").map(PathBuf::from)).as_deref()
}

fn shift(file: &Path) -> i64 {
    let text = std::fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("DORMOUSE_CLOCK: {}: {error}", file.display()));
    match text.trim() {
        "" => 0,
        ms => ms.parse().unwrap_or_else(|_no_number| panic!("DORMOUSE_CLOCK: `{ms}` is no number")),
    }
}
