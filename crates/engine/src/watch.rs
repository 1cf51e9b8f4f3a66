//! Where does the time go? A stop watch with named laps.

use shim_proto::message::Timing;
use std::time::Instant;

/// Measures one part after the other.
#[derive(Debug)]
pub(crate) struct Watch {
    since: Instant,
    timings: Vec<Timing>,
}

impl Watch {
    /// Starts with the first part.
    pub(crate) fn start() -> Self {
        Self { since: Instant::now(), timings: Vec::with_capacity(16) }
    }

    /// Ends a part and starts the next.
    pub(crate) fn lap(&mut self, part: &str) {
        let now = Instant::now();
        let us = u32::try_from((now - self.since).as_micros()).unwrap_or(u32::MAX);
        self.timings.push(Timing { part: part.to_owned(), us });
        self.since = now;
    }

    /// All parts.
    pub(crate) fn into_timings(self) -> Vec<Timing> {
        self.timings
    }
}
