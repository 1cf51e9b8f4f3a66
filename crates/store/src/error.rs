//! What can go wrong between a caller and the disk.

use model::MachineId;
use rusqlite::ErrorCode;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::record::plan::PlanId;

/// Why the store did not do what was asked.
///
/// Cloneable, because one failed commit is the answer to every change of its group.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has this data directory.
    #[error("{} is in use by another daemon{}", path.display(), PidNote(*pid))]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// Its process id, as it wrote it down.
        pid: Option<u32>,
    },
    /// A newer release wrote this database; this one would misread it.
    #[error("the store has schema {found}, this release knows up to {known}")]
    NewerSchema {
        /// Schema version of the file.
        found: u32,
        /// Newest version that this release knows.
        known: u32,
    },
    /// The file is not ours: another program's database, or none at all.
    #[error("{} {}", path.display(), Owner(*found))]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// The application id it carries, if it is a database.
        found: Option<u32>,
    },
    /// The file system refused something outside the database.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// A verb: "create", "lock".
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// No space left for the change; nothing of it is stored, and later changes may succeed.
    #[error("no space left for the store")]
    DiskFull,
    /// SQLite failed.
    #[error("the database failed")]
    Database(#[source] Arc<rusqlite::Error>),
    /// The host gave no randomness for the first ids.
    #[error("no randomness from the host: {0}")]
    NoRandomness(getrandom::Error),
    /// There is no such record.
    #[error("no {kind} `{key}`")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// By which key.
        key: String,
    },
    /// There is such a record already.
    #[error("taken already: {what}")]
    Taken {
        /// The columns that must be unique, as SQLite names them.
        what: String,
    },
    /// The record is not as the caller believed: read it again and decide again.
    #[error("{kind} `{key}` has changed: expected {expected}, found {found}")]
    Conflict {
        /// What was to be changed.
        kind: &'static str,
        /// Its key.
        key: String,
        /// What the caller believed.
        expected: String,
        /// What is stored.
        found: String,
    },
    /// The machine has a plan that has not ended.
    #[error("plan {plan} of machine {machine} has not ended")]
    PlanActive {
        /// The machine.
        machine: MachineId,
        /// The plan.
        plan: PlanId,
    },
    /// Something still refers to it.
    #[error("{kind} `{key}` is still referred to by {referrers} others")]
    Referenced {
        /// What was to be removed.
        kind: &'static str,
        /// Its key.
        key: String,
        /// How many refer to it.
        referrers: u32,
    },
    /// A stored value is not what this release writes.
    #[error("{table}.{column} holds a value that cannot be read")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Why.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// A value could not be written as JSON.
    #[error("cannot write the value as JSON")]
    Encode(#[source] Arc<serde_json::Error>),
    /// The change panicked; it alone was undone.
    #[error("the change `{change}` panicked")]
    Panicked {
        /// Its name.
        change: &'static str,
    },
    /// SQLite undid the whole transaction under this change and everything grouped with it.
    #[error("the transaction was undone during `{change}`")]
    GroupLost {
        /// The change that was running.
        change: &'static str,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing the request.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::DiskFull | Self::Database(_) | Self::GroupLost { .. } | Self::InUse { .. }
        )
    }

    /// A file system failure with its place.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return Self::DiskFull;
        }
        Self::Io { action, path: path.into(), source: Arc::new(source) }
    }

    pub(crate) fn not_found(kind: &'static str, key: impl fmt::Display) -> Self {
        Self::NotFound { kind, key: key.to_string() }
    }

    pub(crate) fn conflict(
        kind: &'static str,
        key: impl fmt::Display,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self::Conflict { kind, key: key.to_string(), expected, found }
    }

    pub(crate) fn corrupt(
        table: &'static str,
        column: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Corrupt { table, column, source: Arc::new(source) }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
        if let rusqlite::Error::SqliteFailure(failure, message) = &error {
            let is_key = [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE]
                .contains(&failure.extended_code);
            if is_key {
                let text = message.as_deref().unwrap_or("a unique key");
                let what = text.trim_start_matches("UNIQUE constraint failed: ").to_owned();
                return Self::Taken { what };
            }
            if failure.code == ErrorCode::DiskFull {
                return Self::DiskFull;
            }
        }
        Self::Database(Arc::new(error))
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Encode(Arc::new(error))
    }
}

/// " (pid 7)", or nothing.
struct Owner(Option<u32>);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, "belongs to another program (application id {id:#x})"),
            None => f.write_str("is not a database"),
        }
    }
}

struct PidNote(Option<u32>);

impl fmt::Display for PidNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, " (pid {pid})"),
            None => Ok(()),
        }
    }
}
