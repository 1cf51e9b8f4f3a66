//! A way in for what looks for input that breaks a promise.

use super::{FORMAT, Saved, understand};
use crate::book::Book;
use tokio::time::Instant;

/// Takes a file of routes in, and writes down what was understood of it, as a file; nothing when it
/// is no such file.
#[must_use]
pub fn reread(bytes: &[u8]) -> Option<Vec<u8>> {
    let records = understand(bytes).ok()?;
    let now = Instant::now();
    let mut book = Book::new(now, 0);
    for app in records.apps {
        book.apply_app(app, now);
    }
    for machine in records.machines {
        book.apply_machine(machine, now);
    }
    let saved = Saved { format: FORMAT, apps: book.table.apps(), machines: book.table.machines() };
    Some(serde_json::to_vec(&saved).expect("what was read can be written"))
}
