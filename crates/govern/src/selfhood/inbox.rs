//! The index of an inbox: counts, not messages.

use crate::limits::{ANSWER_MAX, MESSAGE_PATIENCE, MESSAGE_WAKES_MAX};
use model::UnixMs;
use serde::{Deserialize, Serialize};

/// What the record keeps about the messages that wait for an ack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inbox {
    /// How many there are.
    pub depth: u32,
    /// Their bodies, in bytes.
    pub bytes: u64,
    /// The number that the next one gets.
    pub next_seq: u64,
    /// The oldest of them.
    pub oldest: Option<Oldest>,
    /// Revision of the last post.
    pub posted_rev: u64,
    /// How many were posted with `wake`.
    pub wakes: u32,
    /// The newest of these.
    pub wake_seq: u64,
    /// When it came.
    pub wake_at: UnixMs,
    /// When a message was last delivered or acknowledged.
    pub touched_at: UnixMs,
    /// Times up that were spent on them without an ack.
    pub attempts: u8,
    /// The time up (by its number) in which patience with them ended.
    pub spent_in: Option<u64>,
    /// Messages that became dead letters.
    pub dead: u64,
    /// Machines that the newest message has passed, this one included.
    pub hops: u8,
    /// When it came.
    pub posted_at: UnixMs,
}

/// The oldest message that waits for an ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oldest {
    /// Its number.
    pub seq: u64,
    /// When it came.
    pub at: UnixMs,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            depth: 0,
            bytes: 0,
            next_seq: 1,
            oldest: None,
            posted_rev: 0,
            wakes: 0,
            wake_seq: 0,
            wake_at: UnixMs(0),
            touched_at: UnixMs(0),
            attempts: 0,
            spent_in: None,
            dead: 0,
            hops: 0,
            posted_at: UnixMs(0),
        }
    }
}

impl Inbox {
    /// Machines that whatever the machine sends now has passed, itself included. What it sends soon
    /// after a message counts as an answer to that, whether or not it is one.
    #[must_use]
    pub fn passed(&self, now: UnixMs) -> u8 {
        if now.since(self.posted_at) <= ANSWER_MAX { self.hops.max(1) } else { 1 }
    }

    /// Whether a message wants the machine up. `up`: the number of this time up, if it is up.
    pub(crate) fn wants_up(&self, up: Option<u64>) -> bool {
        let is_spent = up.is_some() && self.spent_in == up;
        self.wakes > 0 && self.attempts < MESSAGE_WAKES_MAX && !is_spent
    }

    /// When patience with a machine ends that is up since `up_since` and touches nothing.
    pub(crate) fn patience_ends(&self, up_since: UnixMs) -> UnixMs {
        self.wake_at.max(self.touched_at).max(up_since).plus(MESSAGE_PATIENCE)
    }
}
