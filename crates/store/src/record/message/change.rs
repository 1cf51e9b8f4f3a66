//! Changes of an inbox.

use super::{HOST_BYTES, MessageRecord};
use crate::error::StoreError;
use crate::row::{Tx, at_column, count_column};
use model::{MachineId, UnixMs};
use rusqlite::params;

/// Ids of messages that wait no more which a machine keeps, whatever their ends; then the oldest go.
/// 10,000 at 50 messages a second are three minutes of a flood, and 2 MiB.
pub const ENDED_IDS_MAX: u32 = 10_000;

impl Tx<'_> {
    /// Stores a message with its text, and its id for as long as it waits.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such machine.
    pub fn put_message(&self, message: &MessageRecord, body: &str) -> Result<(), StoreError> {
        let (machine, seq) = (message.machine.as_str(), count_column(message.seq));
        let sql = "INSERT INTO messages (machine, seq, id, writer, at, bytes, hops, wake,
                     deliveries, hidden_until)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                   ON CONFLICT (machine, seq) DO NOTHING";
        let row = params![
            machine,
            seq,
            message.id,
            message.from,
            at_column(message.at),
            count_column(message.bytes),
            message.hops,
            message.wake,
            message.deliveries,
            at_column(message.hidden_until),
        ];
        if self.execute(sql, row)? == 0 {
            return Ok(());
        }
        let sql = "INSERT INTO message_bodies (machine, seq, body) VALUES (?1, ?2, ?3)";
        self.execute(sql, (machine, seq, body))?;
        if let Some(id) = &message.id {
            let sql = "INSERT INTO message_ids (machine, id, seq) VALUES (?1, ?2, ?3)
                       ON CONFLICT (machine, id) DO UPDATE SET seq = excluded.seq, forget_at = NULL";
            self.execute(sql, (machine, id, seq))?;
        }
        self.count_inbox(&message.machine, count_column(message.bytes))
    }

    /// Notes how often a message was delivered, and when it may be again.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn mark_delivered(
        &self,
        machine: &MachineId,
        seq: u64,
        deliveries: u8,
        hidden_until: UnixMs,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE messages SET deliveries = ?3, hidden_until = ?4
                   WHERE machine = ?1 AND seq = ?2";
        let row = (machine.as_str(), count_column(seq), deliveries, at_column(hidden_until));
        self.execute(sql, row)?;
        Ok(())
    }

    /// Removes a message; its id counts until `forget_at`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn remove_message(
        &self,
        machine: &MachineId,
        seq: u64,
        forget_at: UnixMs,
    ) -> Result<(), StoreError> {
        match self.message(machine, seq)? {
            Some(message) => self.end_waiting(&message, forget_at),
            None => Ok(()),
        }
    }

    /// Makes a message a dead letter, of which those with the `keep` greatest numbers stay; its id
    /// counts until `forget_at`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn bury_message(
        &self,
        machine: &MachineId,
        seq: u64,
        forget_at: UnixMs,
        keep: u32,
    ) -> Result<(), StoreError> {
        let Some(message) = self.message(machine, seq)? else { return Ok(()) };
        let columns = "machine, seq, id, writer, at, bytes, hops, wake, deliveries, hidden_until";
        let sql = format!(
            "INSERT OR REPLACE INTO dead_letters ({columns}, body)
             SELECT {columns}, body FROM messages JOIN message_bodies USING (machine, seq)
             WHERE machine = ?1 AND seq = ?2"
        );
        self.execute(&sql, (machine.as_str(), count_column(seq)))?;
        self.end_waiting(&message, forget_at)?;
        let sql = "DELETE FROM dead_letters WHERE machine = ?1
                   AND seq <= (SELECT seq FROM dead_letters WHERE machine = ?1
                               ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
        self.execute(sql, (machine.as_str(), keep))?;
        Ok(())
    }

    /// Forgets the ids of a machine whose end is `before` or earlier, never one whose message waits.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn forget_message_ids(
        &self,
        machine: &MachineId,
        before: UnixMs,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM message_ids WHERE machine = ?1 AND forget_at <= ?2";
        self.execute(sql, (machine.as_str(), at_column(before)))?;
        Ok(())
    }

    /// Removes all messages, dead letters and ids of a machine.
    pub(crate) fn empty_inbox(&self, machine: &MachineId) -> Result<(), StoreError> {
        let sql = "SELECT sum(bytes) AS bytes FROM messages WHERE machine = ?1 HAVING count(*) > 0";
        let bytes = self.one("messages", sql, [machine.as_str()], |row| row.count("bytes"))?;
        if let Some(bytes) = bytes {
            self.count_inbox(machine, -count_column(bytes))?;
        }
        for sql in [
            "DELETE FROM messages WHERE machine = ?1",
            "DELETE FROM message_bodies WHERE machine = ?1",
            "DELETE FROM message_ids WHERE machine = ?1",
            "DELETE FROM dead_letters WHERE machine = ?1",
        ] {
            self.execute(sql, [machine.as_str()])?;
        }
        Ok(())
    }

    /// Takes a message out of the inbox.
    fn end_waiting(&self, message: &MessageRecord, forget_at: UnixMs) -> Result<(), StoreError> {
        let (machine, seq) = (message.machine.as_str(), count_column(message.seq));
        let sql = "DELETE FROM messages WHERE machine = ?1 AND seq = ?2";
        self.execute(sql, (machine, seq))?;
        let sql = "DELETE FROM message_bodies WHERE machine = ?1 AND seq = ?2";
        self.execute(sql, (machine, seq))?;
        if let Some(id) = &message.id {
            let sql = "UPDATE message_ids SET forget_at = ?4
                       WHERE machine = ?1 AND id = ?2 AND seq = ?3";
            self.execute(sql, (machine, id, seq, at_column(forget_at)))?;
            self.trim_ended_ids(machine)?;
        }
        self.count_inbox(&message.machine, -count_column(message.bytes))
    }

    fn trim_ended_ids(&self, machine: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM message_ids WHERE machine = ?1
                   AND forget_at <= (SELECT forget_at FROM message_ids
                                     WHERE machine = ?1 AND forget_at IS NOT NULL
                                     ORDER BY forget_at DESC LIMIT 1 OFFSET ?2)";
        self.execute(sql, (machine, ENDED_IDS_MAX))?;
        Ok(())
    }

    /// Adds to the bytes that wait, in the sums of the machine's app and of the host.
    fn count_inbox(&self, machine: &MachineId, bytes: i64) -> Result<(), StoreError> {
        let sql = "UPDATE apps SET inbox_bytes = inbox_bytes + ?2
                   WHERE name = (SELECT app FROM machines WHERE id = ?1)";
        if self.execute(sql, (machine.as_str(), bytes))? == 0 {
            return Err(StoreError::not_found("machine", machine));
        }
        let sql = "INSERT INTO counters (name, value) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET value = value + excluded.value";
        self.execute(sql, (HOST_BYTES, bytes))?;
        Ok(())
    }
}
