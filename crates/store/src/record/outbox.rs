//! What machines have to send out, until it has arrived or is given up.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, count_column};
use model::{AppName, MachineId, UnixMs};
use rusqlite::params;

/// Something to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRecord {
    /// Its number, given by [`Tx::put_outbox`] and never again.
    pub seq: u64,
    /// The machine that sends it.
    pub machine: MachineId,
    /// The machine's app.
    pub app: AppName,
    /// The rule that wants it sent.
    pub rule: String,
    /// Where to.
    pub url: String,
    /// Its text.
    pub body: String,
    /// When it was decided.
    pub created_at: UnixMs,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_at: UnixMs,
    /// Why the last try failed, in a word.
    pub last_code: Option<String>,
    /// Why the last try failed, in a sentence.
    pub last_error: Option<String>,
}

impl OutboxRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.count("seq")?,
            machine: row.parsed("machine")?,
            app: row.parsed("app")?,
            rule: row.plain("rule")?,
            url: row.plain("url")?,
            body: row.plain("body")?,
            created_at: row.at("created_at")?,
            attempts: row.plain("attempts")?,
            next_at: row.at("next_at")?,
            last_code: row.plain("last_code")?,
            last_error: row.plain("last_error")?,
        })
    }
}

impl Reader<'_> {
    /// What is to be sent at `now`, longest due first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn outbox_due(&self, now: UnixMs, limit: u32) -> Result<Vec<OutboxRecord>, StoreError> {
        let sql = "SELECT * FROM outbox WHERE next_at <= ?1 ORDER BY next_at, seq LIMIT ?2";
        self.all("outbox", sql, (at_column(now), limit), OutboxRecord::from_row)
    }

    /// What is to be sent at `now`: of each app the longest due, at most `each`, and of all apps at
    /// most `limit`. The first of every app come before the second of any.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn outbox_due_by_app(
        &self,
        now: UnixMs,
        each: u32,
        limit: u32,
    ) -> Result<Vec<OutboxRecord>, StoreError> {
        // Goes from app to app by the index, so that many letters of one cost the others nothing.
        let sql = "WITH RECURSIVE
                     senders (app) AS (
                       SELECT min(app) FROM outbox
                       UNION ALL
                       SELECT (SELECT min(app) FROM outbox WHERE app > senders.app)
                       FROM senders WHERE senders.app IS NOT NULL),
                     due (seq, turn) AS (
                       SELECT seq, row_number() OVER (PARTITION BY outbox.app ORDER BY next_at, seq)
                       FROM senders CROSS JOIN outbox ON seq IN (
                         SELECT seq FROM outbox WHERE app = senders.app AND next_at <= ?1
                         ORDER BY next_at, seq LIMIT ?2))
                   SELECT outbox.* FROM due JOIN outbox USING (seq)
                   ORDER BY turn, next_at, seq LIMIT ?3";
        self.all("outbox", sql, (at_column(now), each, limit), OutboxRecord::from_row)
    }

    /// When the next one is to be sent.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn outbox_next_at(&self) -> Result<Option<UnixMs>, StoreError> {
        let sql = "SELECT next_at FROM outbox ORDER BY next_at LIMIT 1";
        self.one("outbox", sql, [], |row| row.at("next_at"))
    }

    /// What a machine has to send, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn outbox_of(&self, machine: &MachineId) -> Result<Vec<OutboxRecord>, StoreError> {
        let sql = "SELECT * FROM outbox WHERE machine = ?1 ORDER BY seq";
        self.all("outbox", sql, [machine.as_str()], OutboxRecord::from_row)
    }
}

impl Tx<'_> {
    /// Stores something to be sent, under a new number whatever `record.seq` says, and forgets the
    /// machine's oldest beyond `keep`; answers the number.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_outbox(&self, record: &OutboxRecord, keep: u32) -> Result<u64, StoreError> {
        let sql = "INSERT INTO outbox
                   (machine, app, rule, url, created_at, attempts, next_at, last_code, last_error,
                    body)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let row = params![
            record.machine.as_str(),
            record.app.as_str(),
            record.rule,
            record.url,
            at_column(record.created_at),
            record.attempts,
            at_column(record.next_at),
            record.last_code,
            record.last_error,
            record.body,
        ];
        self.execute(sql, row)?;
        let seq = u64::try_from(self.last_row_id())
            .map_err(|e| StoreError::corrupt("outbox", "seq", e))?;
        let trim = "DELETE FROM outbox WHERE machine = ?1
                    AND seq <= (SELECT seq FROM outbox WHERE machine = ?1
                                ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
        self.execute(trim, (record.machine.as_str(), keep))?;
        Ok(seq)
    }

    /// Notes a try that failed, and why, in a word and in a sentence; nothing when it is gone already.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn put_outbox_attempt(
        &self,
        seq: u64,
        attempts: u32,
        next_at: UnixMs,
        why: Option<(&str, &str)>,
    ) -> Result<(), StoreError> {
        let (code, error) = why.unzip();
        let sql = "UPDATE outbox SET attempts = ?2, next_at = ?3, last_code = ?4, last_error = ?5
                   WHERE seq = ?1";
        self.execute(sql, (count_column(seq), attempts, at_column(next_at), code, error))?;
        Ok(())
    }

    /// Removes what was sent or given up; twice is once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_outbox(&self, seq: u64) -> Result<(), StoreError> {
        self.execute("DELETE FROM outbox WHERE seq = ?1", [count_column(seq)])?;
        Ok(())
    }
}
