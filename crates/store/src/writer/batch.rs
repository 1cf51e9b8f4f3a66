//! One transaction with a savepoint per change.

use super::change::Change;
use crate::error::StoreError;
use crate::row::Tx;
use rusqlite::Connection;

/// A group of changes on its way to one commit.
pub(super) struct Batch<'c> {
    connection: &'c Connection,
    changes: Vec<Box<dyn Change>>,
    n_kept: u64,
    /// Why the transaction as a whole is lost; nothing more is applied to it.
    broken: Option<StoreError>,
}

impl<'c> Batch<'c> {
    /// Opens the transaction.
    pub(super) fn begin(connection: &'c Connection) -> Self {
        let broken = execute(connection, "BEGIN IMMEDIATE").err();
        Self { connection, changes: Vec::new(), n_kept: 0, broken }
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Runs `change` in its own savepoint.
    pub(super) fn apply(&mut self, mut change: Box<dyn Change>) {
        if self.broken.is_none() {
            match self.run_in_savepoint(change.as_mut()) {
                Ok(is_kept) => self.n_kept += u64::from(is_kept),
                Err(error) => self.broken = Some(error),
            }
        }
        if cfg!(feature = "planted-early-reply") {
            return change.answer();
        }
        self.changes.push(change);
    }

    /// Commits, tells `count` how many changes are on the disk, if any, and answers every change:
    /// who has an answer finds its change counted.
    pub(super) fn finish(mut self, count: impl FnOnce(u64)) {
        let committed = match self.broken.take() {
            Some(error) => Err(error),
            None => self.commit(),
        };
        if let Err(error) = &committed {
            self.n_kept = 0;
            self.give_up(error);
        }
        if self.n_kept > 0 {
            count(self.n_kept);
        }
        for change in self.changes {
            change.answer();
        }
    }

    /// Says whether the change's rows stay.
    ///
    /// # Errors
    /// The transaction as a whole is lost: SQLite rolls all of it back after some failures (disk
    /// full, I/O error, out of RAM).
    fn run_in_savepoint(&self, change: &mut dyn Change) -> Result<bool, StoreError> {
        execute(self.connection, "SAVEPOINT change")?;
        let outcome = change.run(&Tx::new(self.connection));
        if self.connection.is_autocommit() {
            let lost = StoreError::GroupLost { change: change.name() };
            return Err(outcome.err().unwrap_or(lost));
        }
        let is_kept = outcome.is_ok();
        if !is_kept {
            execute(self.connection, "ROLLBACK TO change")?;
        }
        execute(self.connection, "RELEASE change")?;
        Ok(is_kept)
    }

    /// Makes the group durable; a group that kept nothing costs no write.
    fn commit(&self) -> Result<(), StoreError> {
        if self.n_kept == 0 {
            return execute(self.connection, "ROLLBACK");
        }
        failpoint::hit("store.commit.before");
        failpoint::io("store.commit").map_err(|e| StoreError::io("commit to", "the store", e))?;
        execute(self.connection, "COMMIT")?;
        failpoint::hit("store.commit.after");
        Ok(())
    }

    /// Nothing of the group is stored: leaves the connection ready for the next one.
    fn give_up(&mut self, why: &StoreError) {
        tracing::error!(error = %why, changes = self.changes.len(), "a commit failed");
        for change in &mut self.changes {
            change.undo(why.clone());
        }
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = execute(self.connection, "ROLLBACK") {
            tracing::error!(%error, "a failed group could not be rolled back");
        }
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
