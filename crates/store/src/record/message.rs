//! Messages that wait for a machine, those it never acknowledged, and the ids that were posted.
//!
//! Every change may be made twice: a message that is there is not put again, one that is gone is
//! not removed again. The bytes that wait are summed up as they come and go, for the app and for
//! the host, so that a quota is asked for without looking at any message.

use crate::error::StoreError;
use crate::row::{Fields, Reader, count_column};
use model::{AppName, MachineId, UnixMs};

mod change;

pub use change::ENDED_IDS_MAX;

/// The counter that holds the sum of all apps.
const HOST_BYTES: &str = "inbox_bytes";

/// A message without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// Whose inbox it is in.
    pub machine: MachineId,
    /// Its number within the inbox.
    pub seq: u64,
    /// Its id: posting it twice is posting it once.
    pub id: Option<String>,
    /// Who posted it, as text.
    pub from: String,
    /// When.
    pub at: UnixMs,
    /// Length of its text, in bytes: what it counts for in the sums.
    pub bytes: u64,
    /// Machines that it has passed.
    pub hops: u8,
    /// It wakes the machine by itself.
    pub wake: bool,
    /// How often it was delivered.
    pub deliveries: u8,
    /// Not to be delivered again before then.
    pub hidden_until: UnixMs,
}

/// What became of an id that was posted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenMessage {
    /// The number it got.
    pub seq: u64,
    /// Until when the id counts; `None` while its message waits.
    pub forget_at: Option<UnixMs>,
}

impl MessageRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            machine: row.parsed("machine")?,
            seq: row.count("seq")?,
            id: row.plain("id")?,
            from: row.plain("writer")?,
            at: row.at("at")?,
            bytes: row.count("bytes")?,
            hops: row.plain("hops")?,
            wake: row.plain("wake")?,
            deliveries: row.plain("deliveries")?,
            hidden_until: row.at("hidden_until")?,
        })
    }
}

impl Reader<'_> {
    /// The messages that wait with a greater number than `seq`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn messages_after(
        &self,
        machine: &MachineId,
        seq: u64,
        limit: u32,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        let sql = "SELECT * FROM messages WHERE machine = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
        let params = (machine.as_str(), count_column(seq), limit);
        self.all("messages", sql, params, MessageRecord::from_row)
    }

    /// The earliest and the latest moment before which one of the messages that wait is not to be
    /// delivered; `None` when none waits.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn messages_hidden(
        &self,
        machine: &MachineId,
    ) -> Result<Option<(UnixMs, UnixMs)>, StoreError> {
        let sql = "SELECT min(hidden_until) AS first, max(hidden_until) AS last
                   FROM messages WHERE machine = ?1 HAVING count(*) > 0";
        let bounds = |row: &Fields<'_>| Ok((row.at("first")?, row.at("last")?));
        self.one("messages", sql, [machine.as_str()], bounds)
    }

    /// The message of this number, if it waits.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn message(
        &self,
        machine: &MachineId,
        seq: u64,
    ) -> Result<Option<MessageRecord>, StoreError> {
        let sql = "SELECT * FROM messages WHERE machine = ?1 AND seq = ?2";
        let params = (machine.as_str(), count_column(seq));
        self.one("messages", sql, params, MessageRecord::from_row)
    }

    /// The text of the message of this number, if it waits.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn message_body(
        &self,
        machine: &MachineId,
        seq: u64,
    ) -> Result<Option<String>, StoreError> {
        let sql = "SELECT body FROM message_bodies WHERE machine = ?1 AND seq = ?2";
        let params = (machine.as_str(), count_column(seq));
        self.one("message_bodies", sql, params, |row| row.plain("body"))
    }

    /// What became of a post with this id. Its end may be over: that is for the caller to judge.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn message_seen(
        &self,
        machine: &MachineId,
        id: &str,
    ) -> Result<Option<SeenMessage>, StoreError> {
        let sql = "SELECT seq, forget_at FROM message_ids WHERE machine = ?1 AND id = ?2";
        self.one("message_ids", sql, (machine.as_str(), id), |row| {
            Ok(SeenMessage { seq: row.count("seq")?, forget_at: row.at_opt("forget_at")? })
        })
    }

    /// Messages that were delivered too often, with their texts, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn dead_letters(
        &self,
        machine: &MachineId,
        limit: u32,
    ) -> Result<Vec<(MessageRecord, String)>, StoreError> {
        let sql = "SELECT * FROM dead_letters WHERE machine = ?1 ORDER BY seq DESC LIMIT ?2";
        self.all("dead_letters", sql, (machine.as_str(), limit), |row| {
            Ok((MessageRecord::from_row(row)?, row.plain("body")?))
        })
    }

    /// Bytes of the messages that wait for the machines of an app (none: zero), or of the host.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn inbox_bytes(&self, app: Option<&AppName>) -> Result<u64, StoreError> {
        let Some(app) = app else { return self.last_number(HOST_BYTES) };
        let sql = "SELECT inbox_bytes FROM apps WHERE name = ?1";
        let bytes = self.one("apps", sql, [app.as_str()], |row| row.count("inbox_bytes"))?;
        Ok(bytes.unwrap_or(0))
    }
}
