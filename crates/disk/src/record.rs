//! The record beside each disk.

use crate::DOOR;
use crate::error::DiskError;
use model::ids::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

/// The record's name, beside the disk file.
pub(crate) const RECORD_FILE: &str = "disk.json";

/// Format of the record that this version writes.
const FORMAT: u32 = 1;

/// Who interprets the bytes of a disk. Fixed at the first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachKind {
    /// The host's kernel mounts it.
    HostFs,
    /// A guest kernel gets it as a block device; the host never mounts it.
    RawBlock,
}

impl fmt::Display for AttachKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostFs => "host_fs",
            Self::RawBlock => "raw_block",
        })
    }
}

/// What is known of a disk without opening it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRecord {
    format: u32,
    /// The image this disk is the writable layer of.
    pub base_digest: Digest,
    /// How it is attached; absent until the first use.
    pub attach: Option<AttachKind>,
    /// Logical size.
    pub size_bytes: u64,
}

impl DiskRecord {
    /// The record of a disk that nobody has used yet.
    pub(crate) fn unused(base_digest: Digest, size_bytes: u64) -> Self {
        Self { format: FORMAT, base_digest, attach: None, size_bytes }
    }

    /// Reads the record at `path`; `None` when there is none.
    pub(crate) fn load(path: &Path) -> Result<Option<Self>, DiskError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DiskError::io("read", path)(error)),
        };
        let record: Self = serde_json::from_slice(&bytes)
            .map_err(|source| DiskError::BadRecord { path: path.to_owned(), source })?;
        if record.format == FORMAT {
            Ok(Some(record))
        } else {
            let path = path.to_owned();
            Err(DiskError::UnknownFormat { path, format: record.format, known: FORMAT })
        }
    }

    /// Notes that the locked disk file `disk` is attached as `kind`, unless it was otherwise before.
    pub(crate) fn fix_attach(disk: &Path, kind: AttachKind) -> Result<(), DiskError> {
        let path = disk.with_file_name(RECORD_FILE);
        let absent = || DiskError::io("read", &path)(std::io::Error::from(ErrorKind::NotFound));
        let mut record = Self::load(&path)?.ok_or_else(absent)?;
        match record.attach {
            Some(recorded) if recorded == kind => Ok(()),
            Some(recorded) => {
                let path = disk.to_owned();
                Err(DiskError::AttachDiffers { path, recorded, wanted: kind })
            }
            None => {
                record.attach = Some(kind);
                record.save(&path.with_extension("json.new"), &path)
            }
        }
    }

    /// Puts the record at `path`, by way of `tmp`.
    pub(crate) fn save(&self, tmp: &Path, path: &Path) -> Result<(), DiskError> {
        let bytes = serde_json::to_vec(self).expect("a record has only plain fields");
        Ok(DOOR.replace(tmp, path, &bytes)?)
    }
}
