//! Trace entries: what was done with a machine, and why.
//!
//! Entries are texts here, chained by whoever writes them; they are added and cut off at the old
//! end, and never changed.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, count_column};
use model::{MachineId, UnixMs};

/// One entry of a machine's trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRecord {
    /// Its number within the trace.
    pub seq: u64,
    /// When it was made.
    pub at: UnixMs,
    /// All of it, as JSON text.
    pub json: String,
}

impl TraceRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self { seq: row.count("seq")?, at: row.at("at")?, json: row.plain("entry")? })
    }
}

impl Reader<'_> {
    /// The entries with a greater number than `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn trace(
        &self,
        machine: &MachineId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TraceRecord>, StoreError> {
        let sql = "SELECT * FROM trace WHERE machine = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
        let params = (machine.as_str(), count_column(after), limit);
        self.all("trace", sql, params, TraceRecord::from_row)
    }

    /// The entries with a smaller number than `before` (all if `None`), newest first, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn trace_before(
        &self,
        machine: &MachineId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<TraceRecord>, StoreError> {
        let sql = "SELECT * FROM trace WHERE machine = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3";
        let params = (machine.as_str(), before.map_or(i64::MAX, count_column), limit);
        self.all("trace", sql, params, TraceRecord::from_row)
    }
}

impl Tx<'_> {
    /// Adds an entry; the same one twice is once.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is another entry of this number: nothing is rewritten.
    pub fn append_trace(
        &self,
        machine: &MachineId,
        seq: u64,
        at: UnixMs,
        json: &str,
    ) -> Result<(), StoreError> {
        let (owner, number) = (machine.as_str(), count_column(seq));
        let sql = "INSERT INTO trace (machine, seq, at, entry) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (machine, seq) DO NOTHING";
        if self.execute(sql, (owner, number, at_column(at), json))? > 0 {
            return Ok(());
        }
        let sql = "SELECT entry = ?3 AS is_same FROM trace WHERE machine = ?1 AND seq = ?2";
        let is_same = self.one("trace", sql, (owner, number, json), |row| row.plain("is_same"))?;
        if is_same == Some(true) {
            return Ok(());
        }
        let expected = format!("no entry {seq}");
        Err(StoreError::conflict("trace", machine, expected, "another one of this number"))
    }

    /// Forgets the entries up to and including number `through`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn cut_trace(&self, machine: &MachineId, through: u64) -> Result<(), StoreError> {
        self.cut_trace_counting(machine, through).map(drop)
    }

    /// [`Tx::cut_trace`]; says how many entries there were.
    pub(crate) fn cut_trace_counting(
        &self,
        machine: &MachineId,
        through: u64,
    ) -> Result<usize, StoreError> {
        let sql = "DELETE FROM trace WHERE machine = ?1 AND seq <= ?2";
        self.execute(sql, (machine.as_str(), count_column(through)))
    }
}
