//! Waiting with a deadline: "is it there yet", never "some time has passed".

use std::time::{Duration, Instant};

/// Time a loaded two-core host may need for anything a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until `look` gives something.
///
/// # Panics
/// It does not within [`PATIENCE`]; `what` says what was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// As [`eventually`], with a patience of one's own.
///
/// # Panics
/// Nothing came within `patience`.
#[track_caller]
pub fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
