//! How a run ended: written by the shim with fsync and rename before anybody is told, so that an
//! exit is known even when no daemon was there.

use durable::DurableError;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The run.
    pub run: String,
    /// The machine.
    pub machine: String,
    /// Exit code of the program; `None` when a signal ended it or it is not known.
    pub code: Option<i32>,
    /// Signal that ended the program.
    pub signal: Option<i32>,
    /// The kernel killed a process of the run for want of RAM.
    pub oom_killed: bool,
    /// A stop had been asked for.
    pub requested_stop: bool,
    /// The stop needed the forced kill.
    pub forced: bool,
    /// Unix milliseconds of the start; `None` when the program never ran.
    pub started_at: Option<u64>,
    /// Unix milliseconds of the end.
    pub exited_at: u64,
    /// CPU time of the run in microseconds.
    pub cpu_us: u64,
    /// Why the run could not be brought up, when it could not: code and sentence.
    pub start_failed: Option<(String, String)>,
    /// What ended the machine itself, if it was not its program or an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Whose fault the end of a machine is, in a sentence of at most [`FAULT_MAX_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The guest's own, by its kernel.
    Guest(String),
    /// Of what the guest runs in.
    Host(String),
}

/// Largest sentence about a fault.
pub const FAULT_MAX_BYTES: usize = 1024;

/// Largest exit file that is read: a record with a message of 4 KiB fits four times.
pub const EXIT_FILE_MAX_BYTES: u64 = 16 * 1024;

/// Why an exit file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ExitFileError {
    /// The file system refused.
    #[error("cannot {action} the exit file `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is no exit record: damaged, or not written by a shim.
    #[error("the exit file `{}` holds no exit record", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl From<DurableError> for ExitFileError {
    fn from(error: DurableError) -> Self {
        let DurableError { action, path, source } = error;
        Self::Io { action, path, source }
    }
}

/// How exit files become visible.
const DOOR: durable::Door = durable::Door {
    write: "shim.exit_file",
    before_rename: "shim.exit_file.written",
    after_rename: "shim.exit_file.renamed",
};

/// Puts `record` at `path` so that a power cut leaves the whole record or none.
///
/// # Errors
/// [`ExitFileError::Io`]; a half-written temporary file may be left beside `path`.
pub fn write(path: &Path, record: &ExitRecord) -> Result<(), ExitFileError> {
    failpoint::hit("shim.exit_file.before");
    let text = serde_json::to_vec(record).expect("a record has only plain fields");
    DOOR.replace(&path.with_extension("tmp"), path, &text)?;
    failpoint::hit("shim.exit_file.after");
    Ok(())
}

/// The record at `path`; `None` when the run has not ended, or its shim died before it could say.
///
/// # Errors
/// [`ExitFileError::Io`] when the file cannot be read, [`ExitFileError::Damaged`] when it holds
/// something else: move it aside and treat the run as lost.
pub fn read(path: &Path) -> Result<Option<ExitRecord>, ExitFileError> {
    use std::io::Read as _;
    let io_error = |source| ExitFileError::Io { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error)),
    };
    let mut text = Vec::new();
    file.take(EXIT_FILE_MAX_BYTES).read_to_end(&mut text).map_err(io_error)?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| ExitFileError::Damaged { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ExitRecord {
        ExitRecord {
            run: "01J00000000000000000000000".into(),
            machine: "9080e966ae7187".into(),
            code: Some(7),
            signal: None,
            oom_killed: false,
            requested_stop: true,
            forced: false,
            started_at: Some(1_000),
            exited_at: 2_000,
            cpu_us: 42,
            start_failed: None,
            fault: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("run.exit");
        assert_eq!(read(&path).expect("absence is no error"), None);
        write(&path, &record()).expect("written");
        assert_eq!(read(&path).expect("read"), Some(record()));
        let names = std::fs::read_dir(dir.path()).expect("listed").count();
        assert_eq!(names, 1, "no temporary file is left");
    }

    #[test]
    fn a_damaged_file_is_told_from_an_absent_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("run.exit");
        std::fs::write(&path, b"{\"run\":").expect("written");
        assert!(matches!(read(&path), Err(ExitFileError::Damaged { .. })));
    }
}
