//! How every connection to the database is opened and set up.

use crate::error::StoreError;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Longest wait for an operator's `sqlite3` that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements kept per connection: a little more than this crate has.
const STATEMENT_CACHE: usize = 192;

/// Longest single value, in bytes: an environment of 10 MB in JSON, and as much again.
const VALUE_MAX_BYTES: i32 = 32 * 1024 * 1024;

/// Pages of write-ahead log at which a commit itself checkpoints: 16 MiB, a bound for a load that
/// never lets the writer rest.
const WAL_MAX_PAGES: u32 = 4_096;

/// Length to which the log file is cut back after a checkpoint, in bytes.
const WAL_KEEP_BYTES: u32 = 16 * 1024 * 1024;

/// What SQLite does before it calls a commit durable; `FULL` syncs the log at each one.
const SYNCHRONOUS: &str = if cfg!(feature = "planted-skipped-fsync") { "OFF" } else { "FULL" };

/// Opens the one connection that may write; creates the file, changes nothing in an older one.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    open(path, flags)
}

/// Makes the writer's commits durable; the file must be known to be ours.
pub(crate) fn set_up_writer(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", SYNCHRONOUS)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What a change overwrites is kept for its savepoint: in RAM, not in a temporary file that every
    // commit of more than 64 KiB would make.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_MAX_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEEP_BYTES)?;
    Ok(())
}

/// Opens a connection that cannot write.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_MAX_BYTES)?;
    Ok(connection)
}
