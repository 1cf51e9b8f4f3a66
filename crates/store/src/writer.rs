//! The one thread that writes: it takes what is queued and commits it as one group.
//!
//! ```text
//! write() ─► queue ─► BEGIN ─► SAVEPOINT, change, RELEASE ─► … ─► COMMIT (fsync) ─► answers
//!                                  └ failed or panicked: ROLLBACK TO, the others go on
//! ```
//!
//! While one group syncs, the next one gathers in the queue, so throughput grows with load and a
//! lone change never waits for company. No answer leaves before COMMIT has returned.

mod batch;
mod change;

use crate::error::StoreError;
use crate::migrate::SCHEMA_VERSION;
use crate::row::Tx;
use batch::Batch;
use change::{Change, Pending};
use rusqlite::Connection;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Most changes in one commit: what one failed commit can take with it.
pub const BATCH_MAX: usize = 256;

/// Most changes waiting; more callers wait for a place. Four groups: about 2 ms of work.
pub const QUEUE_MAX: usize = 4 * BATCH_MAX;

/// Longest time a group takes in changes that arrive while it is being applied.
const BATCH_WINDOW: Duration = Duration::from_millis(1);

/// Commits after which an idle writer moves the log into the database file (0.4 ms, measured).
const CHECKPOINT_COMMITS: u32 = 100;

/// Queries that read the pages which a step of a machine changes, for up to a thousand machines: what
/// SQLite's own cache of 2 MB holds. With more of them a first commit reads some of its pages.
const STEP_PAGES: [&str; 9] = [
    "SELECT total(revision) FROM (SELECT revision FROM machines NOT INDEXED LIMIT 1000)",
    "SELECT count(*) FROM (SELECT state FROM machines INDEXED BY machines_by_state LIMIT 10000)",
    "SELECT count(*) FROM (SELECT app FROM machines INDEXED BY machines_by_app LIMIT 10000)",
    "SELECT count(*) FROM (SELECT seq FROM events INDEXED BY events_by_machine LIMIT 10000)",
    "SELECT max(seq), (SELECT max(id) FROM events) FROM events",
    "SELECT count(*) FROM (SELECT run FROM meter INDEXED BY meter_by_machine LIMIT 10000)",
    "SELECT count(*) FROM (SELECT run FROM meter INDEXED BY meter_by_app LIMIT 10000)",
    "SELECT count(*) FROM meter INDEXED BY meter_open WHERE to_at IS NULL",
    "SELECT total(revision) FROM (SELECT revision FROM selfhood NOT INDEXED LIMIT 1000)",
];

/// What has been written since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Commits that reached the disk.
    pub commits: u64,
    /// Changes that they held.
    pub changes: u64,
}

/// The writer's end that callers hold.
#[derive(Debug)]
pub(crate) struct Writer {
    /// `None` only while this is being dropped.
    queue: Option<mpsc::Sender<Message>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    changes: AtomicU64,
}

enum Message {
    Change(Box<dyn Change>),
    Close(oneshot::Sender<Result<(), StoreError>>),
}

impl Writer {
    /// Starts the thread; `connection` is the only one that writes.
    pub(crate) fn spawn(connection: Connection, data_dir: &Path) -> Result<Self, StoreError> {
        let (queue, inbox) = mpsc::channel(QUEUE_MAX);
        let counters = Arc::new(Counters::default());
        let state =
            WriterThread { connection, inbox, counters: Arc::clone(&counters), unmoved_commits: 0 };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || state.run())
            .map_err(|e| StoreError::io("start a writer for", data_dir, e))?;
        Ok(Self { queue: Some(queue), thread: Mutex::new(Some(thread)), counters })
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        change: impl FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (pending, answer) = Pending::new(name, change);
        self.send(Message::Change(Box::new(pending))).await?;
        // The writer answers every change it has taken; it drops one only when it has ended.
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        if self.send(Message::Close(reply)).await.is_err() {
            return Ok(());
        }
        let closed = answer.await.unwrap_or(Ok(()));
        self.join();
        closed
    }

    pub(crate) fn stats(&self) -> WriteStats {
        WriteStats {
            commits: self.counters.commits.load(Ordering::Relaxed),
            changes: self.counters.changes.load(Ordering::Relaxed),
        }
    }

    async fn send(&self, message: Message) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(message).await.map_err(|_closed| StoreError::Closed)
    }

    /// Waits for the thread's end, unless this is the thread itself (a change held the last clone).
    fn join(&self) {
        let handle = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(handle) = handle.filter(|h| h.thread().id() != thread::current().id()) else {
            return;
        };
        if handle.join().is_err() {
            tracing::error!("the store's writer panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        self.join();
    }
}

struct WriterThread {
    connection: Connection,
    inbox: mpsc::Receiver<Message>,
    counters: Arc<Counters>,
    unmoved_commits: u32,
}

impl WriterThread {
    /// Commits group after group until the store is closed or its last clone has gone.
    fn run(mut self) {
        self.get_ready();
        let mut closing = None;
        while let Some(message) = self.inbox.blocking_recv() {
            match message {
                Message::Change(first) => {
                    if let Some(reply) = self.commit_group(first) {
                        closing = Some(reply);
                        self.inbox.close();
                    }
                }
                Message::Close(reply) => {
                    closing = Some(reply);
                    self.inbox.close();
                }
            }
            self.checkpoint_when_idle();
        }
        let moved = self.checkpoint("TRUNCATE");
        if let Err(error) = &moved {
            tracing::warn!(%error, "the store's log stays for the next open to move");
        }
        drop(self.connection);
        if let Some(reply) = closing {
            // Whoever asked may have stopped waiting; the store is closed all the same.
            drop(reply.send(moved));
        }
    }

    /// What the first commit of a process would else do, while somebody waits for it: moves what an
    /// earlier process left in the log, syncs the log's directory, begins the log anew with a commit
    /// that changes nothing, and reads the pages that a step of a machine changes.
    fn get_ready(&self) {
        if let Err(error) = self.checkpoint("PASSIVE").and_then(|()| self.begin_log()) {
            tracing::warn!(%error, "the store's log could not be moved; it is tried again later");
        }
        for sql in STEP_PAGES {
            if !self.inbox.is_empty() {
                // Somebody waits: its commit reads what it needs.
                return;
            }
            if let Err(error) = self.connection.query_row(sql, [], |_row| Ok(())) {
                tracing::warn!(%error, "the store's first commit has pages to read");
                return;
            }
        }
    }

    /// Stores the schema's version once more: SQLite syncs the head of a new log apart from its first
    /// commit.
    fn begin_log(&self) -> Result<(), StoreError> {
        Ok(self.connection.pragma_update(None, "user_version", SCHEMA_VERSION)?)
    }

    /// Applies `first` and what else is queued, commits, answers. Returns a close request that was
    /// met on the way.
    fn commit_group(
        &mut self,
        first: Box<dyn Change>,
    ) -> Option<oneshot::Sender<Result<(), StoreError>>> {
        let opened = Instant::now();
        // What gathered during the last commit shares this one, however long it takes to apply: who
        // is left out waits for one more commit, and with a slow disk that is what costs.
        let n_gathered = 1 + self.inbox.len();
        let mut batch = Batch::begin(&self.connection);
        batch.apply(first);
        let mut closing = None;
        while batch.len() < BATCH_MAX
            && (batch.len() < n_gathered || opened.elapsed() < BATCH_WINDOW)
        {
            match self.inbox.try_recv() {
                Ok(Message::Change(change)) => batch.apply(change),
                Ok(Message::Close(reply)) => {
                    closing = Some(reply);
                    break;
                }
                Err(_empty_or_closed) => break,
            }
        }
        batch.finish(|n_stored| {
            self.unmoved_commits += 1;
            self.counters.commits.fetch_add(1, Ordering::Relaxed);
            self.counters.changes.fetch_add(n_stored, Ordering::Relaxed);
        });
        closing
    }

    /// Keeps the log short without making a caller wait for it.
    fn checkpoint_when_idle(&mut self) {
        if self.unmoved_commits < CHECKPOINT_COMMITS || !self.inbox.is_empty() {
            return;
        }
        self.unmoved_commits = 0;
        if let Err(error) = self.checkpoint("PASSIVE") {
            tracing::warn!(%error, "the store's log could not be moved; it is tried again later");
        }
    }

    fn checkpoint(&self, mode: &str) -> Result<(), StoreError> {
        failpoint::hit("store.checkpoint.before");
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        self.connection.query_row(&sql, [], |_row| Ok(()))?;
        failpoint::hit("store.checkpoint.after");
        Ok(())
    }
}
