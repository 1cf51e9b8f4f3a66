//! Who is at the host's end of each stream?
//!
//! A stream outlives the daemon that opened it by a moment: the guest may still send on it until it
//! has heard of the reset. So an exec stream that was reset stays on the books, deaf, and its number
//! cannot be taken by the next daemon, until the guest has answered a question that was asked after
//! the reset ([`Streams::barrier`]): the channel keeps the order.

use guest_proto::stream::STREAMS_MAX;
use guest_proto::{FromGuest, StreamId, ToGuest};
use std::collections::BTreeMap;

/// Streams on the books at once: all that may be open, for four daemons in quick succession.
const BOOKED_MAX: usize = 4 * STREAMS_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// The daemon that is connected now.
    Daemon,
    /// Nobody yet: an API connection made while no daemon was there.
    Nobody,
    /// Nobody any more; for an exec stream until this barrier is passed.
    Gone(u64),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    peer: Peer,
    host_ended: bool,
    guest_ended: bool,
    /// The host has sent bytes: an answer has begun.
    is_answered: bool,
}

/// What to do with something that the guest sent on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Give it to the daemon.
    Daemon,
    /// The daemon is away: answer in its place.
    AnswerAway,
    /// Drop it.
    Drop,
}

/// What to do about a stream whose daemon is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Answer in the daemon's place.
    AnswerAway(StreamId),
    /// Reset it.
    Reset(StreamId),
}

/// All streams of a guest but its log.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    entries: BTreeMap<StreamId, Entry>,
    /// The barrier that streams which are reset now wait for.
    next_barrier: u64,
    /// A stream waits for it.
    wants_barrier: bool,
}

/// Questions with this bit in their id are the shim's own.
const BARRIER_BIT: u64 = 1 << 63;

const fn is_api(stream: StreamId) -> bool {
    stream.0 % 2 == 1
}

impl Streams {
    /// Books a stream that the daemon opens. `false` when its number is taken or not the host's.
    pub(crate) fn open_by_daemon(&mut self, stream: StreamId) -> bool {
        let is_free = !is_api(stream)
            && stream != StreamId::MAIN
            && !self.entries.contains_key(&stream)
            && self.entries.len() < BOOKED_MAX;
        if is_free {
            self.book(stream, Peer::Daemon);
        }
        is_free
    }

    /// Books a stream that the guest opens. `false` when the guest breaks the rules: reset it.
    pub(crate) fn open_by_guest(&mut self, stream: StreamId, has_daemon: bool) -> bool {
        let is_free = is_api(stream)
            && !self.entries.contains_key(&stream)
            && self.entries.len() < BOOKED_MAX;
        if is_free {
            self.book(stream, if has_daemon { Peer::Daemon } else { Peer::Nobody });
        }
        is_free
    }

    fn book(&mut self, stream: StreamId, peer: Peer) {
        let entry = Entry { peer, host_ended: false, guest_ended: false, is_answered: false };
        self.entries.insert(stream, entry);
    }

    /// Where bytes or news of the guest on `stream` go.
    pub(crate) fn route(&self, stream: StreamId) -> Route {
        match self.entries.get(&stream).map(|entry| entry.peer) {
            Some(Peer::Daemon) => Route::Daemon,
            Some(Peer::Nobody) => Route::AnswerAway,
            Some(Peer::Gone(_)) | None => Route::Drop,
        }
    }

    /// Whether the daemon may send on `stream`; notes that it does.
    pub(crate) fn daemon_sends(&mut self, stream: StreamId) -> bool {
        if stream == StreamId::MAIN {
            return true;
        }
        let entry = self.entries.get_mut(&stream).filter(|entry| entry.peer == Peer::Daemon);
        entry.is_some_and(|entry| {
            entry.is_answered = true;
            true
        })
    }

    /// Notes what the host says about streams, so that a finished one leaves the books.
    pub(crate) fn note_to_guest(&mut self, message: &ToGuest) {
        match message {
            ToGuest::End { stream } => self.end(*stream, true),
            // The guest never takes a number again, so an API connection just goes.
            ToGuest::Reset { stream } if is_api(*stream) => {
                self.entries.remove(stream);
            }
            ToGuest::Reset { stream } => {
                if let Some(entry) = self.entries.get_mut(stream) {
                    entry.peer = Peer::Gone(self.next_barrier);
                    self.wants_barrier = true;
                }
            }
            _ => {}
        }
    }

    /// Id of a question to ask now, if streams wait for one.
    pub(crate) fn barrier(&mut self) -> Option<u64> {
        if !std::mem::take(&mut self.wants_barrier) {
            return None;
        }
        let id = self.next_barrier | BARRIER_BIT;
        self.next_barrier += 1;
        Some(id)
    }

    /// Whether `id` is one that only the shim gives to questions.
    pub(crate) const fn is_own_question(id: u64) -> bool {
        id & BARRIER_BIT != 0
    }

    /// Whether the answer `id` is to the shim's own question; then streams leave the books.
    pub(crate) fn pass_barrier(&mut self, id: u64) -> bool {
        if !Self::is_own_question(id) {
            return false;
        }
        let passed = id & !BARRIER_BIT;
        let waits = |entry: &Entry| matches!(entry.peer, Peer::Gone(barrier) if barrier > passed);
        self.entries.retain(|stream, entry| {
            is_api(*stream) || !matches!(entry.peer, Peer::Gone(_)) || waits(entry)
        });
        true
    }

    /// Notes what the guest says about streams, after it was routed.
    pub(crate) fn note_from_guest(&mut self, message: &FromGuest) {
        match message {
            FromGuest::End { stream } => self.end(*stream, false),
            FromGuest::Reset { stream }
            | FromGuest::ExecEnded { stream, .. }
            | FromGuest::ExecFailed { stream, .. } => {
                self.entries.remove(stream);
            }
            _ => {}
        }
    }

    fn end(&mut self, stream: StreamId, by_host: bool) {
        let Some(entry) = self.entries.get_mut(&stream) else { return };
        entry.host_ended |= by_host;
        entry.guest_ended |= !by_host;
        if is_api(stream) && entry.host_ended && entry.guest_ended {
            self.entries.remove(&stream);
        }
    }

    /// The stream was answered in the daemon's place; the guest's rest of it is dropped.
    pub(crate) fn answered_away(&mut self, stream: StreamId) {
        if let Some(entry) = self.entries.get_mut(&stream) {
            entry.peer = Peer::Gone(self.next_barrier);
        }
        self.end(stream, true);
    }

    /// The daemon is gone: says how to part with each of its streams.
    pub(crate) fn abandon(&mut self) -> Vec<Farewell> {
        let mut farewells = Vec::new();
        for (stream, entry) in &mut self.entries {
            if entry.peer != Peer::Daemon {
                continue;
            }
            entry.peer = Peer::Gone(self.next_barrier);
            let can_answer = is_api(*stream) && !entry.is_answered;
            farewells.push(match can_answer {
                true => Farewell::AnswerAway(*stream),
                false => Farewell::Reset(*stream),
            });
        }
        farewells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXEC: StreamId = StreamId(2);
    const API: StreamId = StreamId(1);

    #[test]
    fn an_abandoned_exec_keeps_its_number_until_the_guest_knows() {
        let mut streams = Streams::default();
        assert!(streams.open_by_daemon(EXEC));
        assert!(!streams.open_by_daemon(EXEC));
        assert_eq!(streams.barrier(), None);
        assert_eq!(streams.abandon(), [Farewell::Reset(EXEC)]);
        streams.note_to_guest(&ToGuest::Reset { stream: EXEC });
        let barrier = streams.barrier().expect("one is needed");
        assert_eq!(streams.route(EXEC), Route::Drop);
        assert!(!streams.open_by_daemon(EXEC), "the guest may still send on it");
        assert!(!streams.pass_barrier(7), "a question of the daemon");
        assert!(streams.pass_barrier(barrier));
        assert!(streams.open_by_daemon(EXEC));
    }

    #[test]
    fn an_api_call_is_answered_in_the_daemons_place_unless_it_has_begun_to() {
        let mut streams = Streams::default();
        assert!(streams.open_by_guest(API, true));
        assert!(streams.open_by_guest(StreamId(3), true));
        assert!(streams.daemon_sends(StreamId(3)));
        let farewells = streams.abandon();
        assert_eq!(farewells, [Farewell::AnswerAway(API), Farewell::Reset(StreamId(3))]);
        assert!(streams.open_by_guest(StreamId(5), false));
        assert_eq!(streams.route(StreamId(5)), Route::AnswerAway);
    }

    #[test]
    fn a_guest_cannot_fill_the_books() {
        let mut streams = Streams::default();
        let opened = (0..100_000).filter(|n| streams.open_by_guest(StreamId(2 * n + 1), false));
        assert_eq!(opened.count(), BOOKED_MAX);
        assert!(!streams.open_by_guest(StreamId(4), true), "even numbers are the host's");
    }
}
