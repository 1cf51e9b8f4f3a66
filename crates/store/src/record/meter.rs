//! Metering: from when to when a machine was started.
//!
//! An interval is opened with the outcome of a start and closed with the time at which the run
//! ended, as its shim wrote it down: downtime of the daemon neither loses nor invents a second.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, count_column};
use model::{AppName, MachineId, RunId, UnixMs};

/// One stretch of time in which a machine was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterInterval {
    /// The machine.
    pub machine: MachineId,
    /// Its app.
    pub app: AppName,
    /// The run; has several intervals when it was frozen in between.
    pub run: RunId,
    /// Since.
    pub from: UnixMs,
    /// Until; `None` while it is started.
    pub to: Option<UnixMs>,
    /// CPUs it was allowed.
    pub cpus: u32,
    /// RAM it was allowed, in MiB.
    pub memory_mib: u32,
    /// CPU time it used, in microseconds; known at the end.
    pub cpu_us: u64,
}

/// Whose usage is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageOf<'a> {
    /// One machine's.
    Machine(&'a MachineId),
    /// All machines' of an app, also those destroyed.
    App(&'a AppName),
}

/// Time spent started, of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// CPUs.
    pub cpus: u32,
    /// RAM in MiB.
    pub memory_mib: u32,
    /// Time started within the window, in milliseconds.
    pub started_ms: u64,
    /// CPU time of the intervals that ended within the window, in microseconds.
    pub cpu_us: u64,
}

impl Usage {
    /// Whole seconds started.
    #[must_use]
    pub const fn started_s(&self) -> u64 {
        self.started_ms / 1_000
    }
}

impl MeterInterval {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            machine: row.parsed("machine")?,
            app: row.parsed("app")?,
            run: row.parsed("run")?,
            from: row.at("from_at")?,
            to: row.at_opt("to_at")?,
            cpus: row.plain("cpus")?,
            memory_mib: row.plain("memory_mib")?,
            cpu_us: row.count("cpu_us")?,
        })
    }
}

impl Reader<'_> {
    /// Usage between `since` and `until`, a row per size. A running interval counts to `until`,
    /// which must not lie in the future.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn usage(
        &self,
        of: UsageOf<'_>,
        since: UnixMs,
        until: UnixMs,
    ) -> Result<Vec<Usage>, StoreError> {
        let (column, key) = match of {
            UsageOf::Machine(machine) => ("machine", machine.as_str()),
            UsageOf::App(app) => ("app", app.as_str()),
        };
        let sql = format!(
            "SELECT cpus, memory_mib,
               sum(max(0, min(ifnull(to_at, ?3), ?3) - max(from_at, ?2))) AS started_ms,
               sum(iif(to_at > ?2 AND to_at <= ?3, cpu_us, 0)) AS cpu_us
             FROM meter
             WHERE {column} = ?1 AND from_at < ?3 AND ifnull(to_at, ?3) > ?2
             GROUP BY cpus, memory_mib ORDER BY cpus, memory_mib"
        );
        let params = (key, at_column(since), at_column(until));
        self.all("meter", &sql, params, |row| {
            Ok(Usage {
                cpus: row.plain("cpus")?,
                memory_mib: row.plain("memory_mib")?,
                started_ms: row.count("started_ms")?,
                cpu_us: row.count("cpu_us")?,
            })
        })
    }

    /// Time started and CPU time in microseconds of each machine of an app, as [`Reader::usage`] has
    /// them; also of machines that are destroyed and forgotten.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn usage_by_machine(
        &self,
        app: &AppName,
        since: UnixMs,
        until: UnixMs,
    ) -> Result<Vec<(MachineId, u64, u64)>, StoreError> {
        let sql = "SELECT machine,
                     sum(max(0, min(ifnull(to_at, ?3), ?3) - max(from_at, ?2))) AS started_ms,
                     sum(iif(to_at > ?2 AND to_at <= ?3, cpu_us, 0)) AS cpu_us
                   FROM meter
                   WHERE app = ?1 AND from_at < ?3 AND ifnull(to_at, ?3) > ?2
                   GROUP BY machine ORDER BY machine";
        let params = (app.as_str(), at_column(since), at_column(until));
        self.all("meter", sql, params, |row| {
            Ok((row.parsed("machine")?, row.count("started_ms")?, row.count("cpu_us")?))
        })
    }

    /// Intervals that no end is known of: recovery closes those whose run is gone.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn open_intervals(&self) -> Result<Vec<MeterInterval>, StoreError> {
        let sql = "SELECT * FROM meter WHERE to_at IS NULL ORDER BY from_at";
        self.all("meter", sql, [], MeterInterval::from_row)
    }
}

impl Tx<'_> {
    /// Opens an interval (closed at once if `to` is there); the same one twice is once.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the run has another interval open.
    pub fn open_interval(&self, interval: &MeterInterval) -> Result<(), StoreError> {
        if let Some(open) = self.open_interval_of(&interval.run)? {
            if open.from == interval.from {
                return Ok(());
            }
            let found = format!("one open since {}", open.from.0);
            return Err(StoreError::conflict("run", &interval.run, "no open interval", found));
        }
        let sql = "INSERT OR IGNORE INTO meter
                   (run, from_at, to_at, machine, app, cpus, memory_mib, cpu_us)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let row = (
            interval.run.as_str(),
            at_column(interval.from),
            interval.to.map(at_column),
            interval.machine.as_str(),
            interval.app.as_str(),
            interval.cpus,
            interval.memory_mib,
            count_column(interval.cpu_us),
        );
        self.execute(sql, row)?;
        Ok(())
    }

    /// Closes the run's open interval, if it has one; an end before its beginning counts as none
    /// (the clock was set back). Twice is once: the first end stays.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn close_interval(&self, run: &RunId, to: UnixMs, cpu_us: u64) -> Result<(), StoreError> {
        let sql = "UPDATE meter SET to_at = max(from_at, ?2), cpu_us = ?3
                   WHERE run = ?1 AND to_at IS NULL";
        self.execute(sql, (run.as_str(), at_column(to), count_column(cpu_us)))?;
        Ok(())
    }

    fn open_interval_of(&self, run: &RunId) -> Result<Option<MeterInterval>, StoreError> {
        let sql = "SELECT * FROM meter WHERE run = ?1 AND to_at IS NULL";
        self.one("meter", sql, [run.as_str()], MeterInterval::from_row)
    }
}
