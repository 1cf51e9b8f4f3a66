//! The one place that reads the wall clock.
//!
//! Not used by `admit` or `step`: the shell reads the clock here and passes the moment in.

use crate::units::UnixMs;

/// The host's wall clock now.
///
/// A clock set before 1970 reads as zero: a wrong time must not stop a machine.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the one reader the lint points to")]
pub fn now() -> UnixMs {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(UnixMs(0), |d| UnixMs(u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
}
