//! Brings a database file to the schema of this release, or refuses it untouched.

use crate::error::StoreError;
use crate::schema::{APPLICATION_ID, MIGRATIONS};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use std::path::Path;

/// Newest schema version that this release knows.
pub const SCHEMA_VERSION: u32 = {
    assert!(MIGRATIONS.len() < 1_000, "the version is a small number");
    #[allow(clippy::cast_possible_truncation, reason = "asserted above; `try_from` is not const")]
    let version = MIGRATIONS.len() as u32;
    version
};

/// Brings the file behind `connection` from version `found` to [`SCHEMA_VERSION`], each version in
/// its own transaction.
pub(crate) fn migrate(connection: &mut Connection, found: u32) -> Result<(), StoreError> {
    for version in found + 1..=SCHEMA_VERSION {
        apply(connection, version)?;
        tracing::info!(version, "store schema migrated");
    }
    Ok(())
}

/// The schema version of the file, if this release may touch it; nothing has been written yet.
///
/// # Errors
/// [`StoreError::NewerSchema`], [`StoreError::NotAStore`].
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| unreadable(error, path))?;
    let owner: u32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let n_tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_new = n_tables == 0 && owner == 0 && found == 0;
    if !is_new && owner != APPLICATION_ID {
        return Err(StoreError::NotAStore { path: path.to_owned(), found: Some(owner) });
    }
    if found > SCHEMA_VERSION {
        return Err(StoreError::NewerSchema { found, known: SCHEMA_VERSION });
    }
    Ok(found)
}

/// The first look into a file tells whether it is a database at all.
fn unreadable(error: rusqlite::Error, path: &Path) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            StoreError::NotAStore { path: path.to_owned(), found: None }
        }
        Some(_) | None => error.into(),
    }
}

fn apply(connection: &mut Connection, version: u32) -> Result<(), StoreError> {
    let index = usize::try_from(version - 1).expect("a small number");
    let tx = Transaction::new(connection, TransactionBehavior::Immediate)?;
    tx.execute_batch(MIGRATIONS[index])?;
    tx.pragma_update(None, "user_version", version)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    failpoint::hit("store.migrate.before");
    tx.commit()?;
    failpoint::hit("store.migrate.after");
    Ok(())
}
