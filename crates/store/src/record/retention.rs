//! How long ended things are kept.

use crate::error::StoreError;
use crate::row::{Tx, at_column};
use model::{DurationMs, MachineId, UnixMs};

const DAY: u64 = 24 * 3_600;

/// How long a destroyed machine, its events and its plans can still be read.
pub const TOMBSTONE_RETENTION: DurationMs = DurationMs::from_secs(7 * DAY);

/// How long the result of an ended plan of a machine that lives on can be read.
pub const PLAN_RETENTION: DurationMs = DurationMs::from_secs(30 * DAY);

/// How long closed meter intervals are kept: a year to compare with, and a month to do it in.
pub const METER_RETENTION: DurationMs = DurationMs::from_secs(400 * DAY);

/// How long a void token is still listed.
pub const TOKEN_RETENTION: DurationMs = DurationMs::from_secs(30 * DAY);

/// Tombstones removed by one sweep, so that no single change holds the writer for long.
const TOMBSTONES_PER_SWEEP: u32 = 100;

/// What a sweep removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Destroyed machines.
    pub machines: Vec<MachineId>,
    /// Ended plans.
    pub plans: usize,
    /// Closed meter intervals.
    pub intervals: usize,
    /// Void tokens.
    pub tokens: usize,
}

impl Tx<'_> {
    /// Removes what has been kept long enough at `now`, at most 100 machines at once: call it
    /// again while it finds that many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn sweep(&self, now: UnixMs) -> Result<Swept, StoreError> {
        let before = |kept: DurationMs| at_column(UnixMs(now.0.saturating_sub(kept.0)));
        let sql = "SELECT id FROM machines WHERE state = 'destroyed' AND updated_at < ?1 LIMIT ?2";
        let params = (before(TOMBSTONE_RETENTION), TOMBSTONES_PER_SWEEP);
        let machines = self.all("machines", sql, params, |row| row.parsed("id"))?;
        machines.iter().try_for_each(|id| self.delete_machine_tombstone(id))?;
        let plans = "DELETE FROM plans WHERE state <> 'running' AND updated_at < ?1";
        let intervals = "DELETE FROM meter WHERE to_at < ?1";
        let tokens = "DELETE FROM tokens
                      WHERE min(ifnull(revoked_at, expires_at), ifnull(expires_at, revoked_at)) < ?1";
        Ok(Swept {
            machines,
            plans: self.execute(plans, [before(PLAN_RETENTION)])?,
            intervals: self.execute(intervals, [before(METER_RETENTION)])?,
            tokens: self.execute(tokens, [before(TOKEN_RETENTION)])?,
        })
    }
}
