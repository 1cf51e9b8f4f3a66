//! Where does the time go while a machine is furnished? A stop watch with named laps.

use guest_proto::message::Part;
use std::time::Instant;

/// Measures one part after the other.
#[derive(Debug)]
pub(super) struct Laps {
    since: Instant,
    parts: Vec<Part>,
}

impl Laps {
    /// Starts with the first part.
    pub(super) fn start() -> Self {
        Self { since: Instant::now(), parts: Vec::with_capacity(8) }
    }

    /// Ends a part and starts the next.
    pub(super) fn lap(&mut self, name: &str) {
        let now = Instant::now();
        let us = u32::try_from((now - self.since).as_micros()).unwrap_or(u32::MAX);
        self.parts.push(Part { name: name.to_owned(), us });
        self.since = now;
    }

    /// All parts.
    pub(super) fn into_parts(self) -> Vec<Part> {
        self.parts
    }
}
