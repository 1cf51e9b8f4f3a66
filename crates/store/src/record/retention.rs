//! How long ended things are kept.

use crate::error::StoreError;
use crate::row::{Tx, at_column};
use model::{DurationMs, MachineId, UnixMs};

const DAY: u64 = 24 * 3_600;

/// How long a destroyed machine, its events, its plans and its trace can still be read.
pub const TOMBSTONE_RETENTION: DurationMs = DurationMs::from_secs(7 * DAY);

/// How long the result of an ended plan of a machine that lives on can be read.
pub const PLAN_RETENTION: DurationMs = DurationMs::from_secs(30 * DAY);

/// How long closed meter intervals are kept: a year to compare with, and a month to do it in.
pub const METER_RETENTION: DurationMs = DurationMs::from_secs(400 * DAY);

/// How long a void token is still listed.
pub const TOKEN_RETENTION: DurationMs = DurationMs::from_secs(30 * DAY);

/// Tombstones removed by one sweep, so that no single change holds the writer for long.
const TOMBSTONES_PER_SWEEP: u32 = 100;

/// Trace entries after which one sweep removes no further tombstone: a full trace of one machine.
const TRACE_ENTRIES_PER_SWEEP: usize = 10_000;

/// Ids of messages removed by one sweep: a flood's of one machine, twice.
const MESSAGE_IDS_PER_SWEEP: u32 = 20_000;

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
    /// Ids of messages whose end is over.
    pub message_ids: usize,
    /// Policies that no machine has or had.
    pub policies: usize,
    /// Secrets that were replaced and count no more.
    pub secrets: usize,
}

impl Tx<'_> {
    /// Removes what has been kept long enough at `now`, of machines a bounded number at once: call
    /// it again while it finds any.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn sweep(&self, now: UnixMs) -> Result<Swept, StoreError> {
        let before = |kept: DurationMs| at_column(UnixMs(now.0.saturating_sub(kept.0)));
        let plans = "DELETE FROM plans WHERE state <> 'running' AND updated_at < ?1";
        let intervals = "DELETE FROM meter WHERE to_at < ?1";
        let tokens = "DELETE FROM tokens
                      WHERE min(ifnull(revoked_at, expires_at), ifnull(expires_at, revoked_at)) < ?1";
        Ok(Swept {
            machines: self.sweep_tombstones(before(TOMBSTONE_RETENTION))?,
            plans: self.execute(plans, [before(PLAN_RETENTION)])?,
            intervals: self.execute(intervals, [before(METER_RETENTION)])?,
            tokens: self.execute(tokens, [before(TOKEN_RETENTION)])?,
            message_ids: self.sweep_message_ids(now)?,
            policies: self.prune_policies()?,
            secrets: self.sweep_old_secrets(now)? + self.sweep_app_secrets(now)?,
        })
    }

    fn sweep_message_ids(&self, now: UnixMs) -> Result<usize, StoreError> {
        let sql = "DELETE FROM message_ids WHERE (machine, id) IN
                     (SELECT machine, id FROM message_ids INDEXED BY message_ids_by_end
                      WHERE forget_at IS NOT NULL AND forget_at <= ?1 LIMIT ?2)";
        self.execute(sql, (at_column(now), MESSAGE_IDS_PER_SWEEP))
    }

    fn sweep_tombstones(&self, before: i64) -> Result<Vec<MachineId>, StoreError> {
        let sql = "SELECT id FROM machines WHERE state = 'destroyed' AND updated_at < ?1 LIMIT ?2";
        let params = (before, TOMBSTONES_PER_SWEEP);
        let mut machines: Vec<MachineId> =
            self.all("machines", sql, params, |row| row.parsed("id"))?;
        let mut n_entries = 0;
        let mut n_swept = 0;
        for id in &machines {
            if n_entries >= TRACE_ENTRIES_PER_SWEEP {
                break;
            }
            n_entries += self.cut_trace_counting(id, u64::MAX)?;
            self.delete_machine_tombstone(id)?;
            n_swept += 1;
        }
        machines.truncate(n_swept);
        Ok(machines)
    }
}
