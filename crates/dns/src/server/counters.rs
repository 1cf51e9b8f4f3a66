//! What has happened, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`crate::Server`] has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that came in.
    pub received: u64,
    /// Answers given from the zone.
    pub own: u64,
    /// Answers given from what is remembered.
    pub from_cache: u64,
    /// Questions sent upstream.
    pub forwarded: u64,
    /// Of these, those that nobody could answer.
    pub failed: u64,
    /// Questions refused because of a machine's name rule.
    pub refused_by_rule: u64,
    /// Messages refused or dropped because a machine asks too much.
    pub over_limit: u64,
    /// Answers not sent because their addresses could not be pinned.
    pub not_pinned: u64,
    /// Messages that are no question for us, or of nobody we know.
    pub turned_down: u64,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received: AtomicU64,
    pub(crate) own: AtomicU64,
    pub(crate) from_cache: AtomicU64,
    pub(crate) forwarded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) refused_by_rule: AtomicU64,
    pub(crate) over_limit: AtomicU64,
    pub(crate) not_pinned: AtomicU64,
    pub(crate) turned_down: AtomicU64,
}

impl Counters {
    /// Counts one.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            received: read(&self.received),
            own: read(&self.own),
            from_cache: read(&self.from_cache),
            forwarded: read(&self.forwarded),
            failed: read(&self.failed),
            refused_by_rule: read(&self.refused_by_rule),
            over_limit: read(&self.over_limit),
            not_pinned: read(&self.not_pinned),
            turned_down: read(&self.turned_down),
        }
    }
}
