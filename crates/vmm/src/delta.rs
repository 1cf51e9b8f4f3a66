//! The RAM of a machine that sleeps on disk: the pages that are not its template's any more, and the state
//! of its devices.
//!
//! ```text
//! <dir>/index     which pages: the first one and their number, for each row of them, in order
//! <dir>/pages     those pages, one behind the other
//! <dir>/devices   its devices, as QEMU saved them
//! <dir>/record    what it belongs to, and what the three must contain, as JSON behind its digest; without
//!                 it, it is nothing
//! <dir>.new/      one that is being made
//! ```
//!
//! It is good for one resume, on the disk as it was: the record goes before the guest runs again
//! ([`forget`]). What is damaged, or belongs to something else, is of no use at all.

use crate::page::PAGE_BYTES;
use crate::{DOOR, STATE_MAX_BYTES, hex, sha256};
use durable::DurableError;
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shim_proto::spec::Carried;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Format of the files.
const FORMAT: u32 = 1;

/// Largest record, in bytes: a cut frame of 4 MiB as base64, and little else.
const RECORD_MAX_BYTES: u64 = 8 << 20;

/// Bytes moved at a time.
pub const CHUNK_BYTES: usize = 256 * PAGE_BYTES;

/// Bytes of a row in the index.
const ROW_BYTES: usize = 8;

const INDEX_FILE: &str = "index";
const PAGES_FILE: &str = "pages";
const DEVICES_FILE: &str = "devices";
const RECORD_FILE: &str = "record";

/// What it belongs to. Only with all of it the same can it be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The run.
    pub run: String,
    /// Version of the machine, and whatever else its owner wants to be the same.
    pub config: String,
    /// The template's id, which stands for QEMU, the shape and the processor.
    pub template: String,
    /// The template's RAM.
    pub template_sha256: String,
    /// The machine's disk.
    pub disk: DiskStamp,
}

/// When a disk was last written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStamp {
    /// Its size in bytes.
    pub bytes: u64,
    /// Unix nanoseconds.
    pub written_ns: i128,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    key: Key,
    /// Pages that it lacks are zeros, and not the template's.
    is_whole: bool,
    n_pages: u64,
    index_sha256: String,
    pages_sha256: String,
    devices_sha256: String,
    carried: Carried,
}

/// One that can be used.
#[derive(Debug)]
pub struct Delta {
    dir: PathBuf,
    record: Record,
    rows: Vec<Row>,
    pages: File,
    devices: Vec<u8>,
}

/// Pages that lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    first: u32,
    n_pages: u32,
}

/// One that is being made.
#[derive(Debug)]
pub struct Writer {
    place: PathBuf,
    part: PathBuf,
    pages: File,
    rows: Vec<Row>,
    n_pages: u64,
    hasher: Sha256,
}

/// RAM on disk that cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// There is none.
    #[error("there is no RAM of it on disk")]
    Absent,
    /// It is not what it was when it was made.
    #[error("its RAM in `{}` is damaged: {why}", path.display())]
    Damaged {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It belongs to something else.
    #[error("its RAM on disk is of another {what}")]
    Foreign {
        /// Run, version, template or disk.
        what: &'static str,
    },
    /// It cannot be made durable.
    #[error("its RAM cannot be kept")]
    Write(#[from] DurableError),
    /// A file cannot be read, or what was read cannot be put where it belongs.
    #[error("cannot {action} its RAM")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl DiskStamp {
    /// That of a disk.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn of(path: &Path) -> Result<Self, DeltaError> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(path).map_err(failed("look at the disk of"))?;
        let written_ns =
            i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Ok(Self { bytes: metadata.len(), written_ns })
    }
}

impl Key {
    /// What is different in `other`.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        let is_same = [
            ("run", self.run == other.run),
            ("version", self.config == other.config),
            ("template", self.template == other.template),
            ("template", self.template_sha256 == other.template_sha256),
            ("state of the disk", self.disk == other.disk),
        ];
        is_same.into_iter().find(|(_, is_same)| !is_same).map(|(what, _)| what)
    }
}

impl Writer {
    /// Takes the room for `n_pages` pages on the disk.
    ///
    /// # Errors
    /// There is none; nothing is left then.
    pub fn reserve(dir: &Path, n_pages: u64) -> Result<Self, DeltaError> {
        let part = dir.with_extension("new");
        durable::remove_tree(&part)?;
        durable::make_private_dir(&part)?;
        let path = part.join(PAGES_FILE);
        let take = || {
            let pages = File::options().create_new(true).read(true).write(true).open(&path)?;
            failpoint::io(DOOR.write)?;
            if n_pages > 0 {
                fallocate(&pages, FallocateFlags::empty(), 0, n_pages * PAGE_BYTES as u64)?;
            }
            Ok::<_, io::Error>(pages)
        };
        match take() {
            Ok(pages) => Ok(Self {
                place: dir.to_owned(),
                part,
                pages,
                rows: Vec::new(),
                n_pages: 0,
                hasher: Sha256::new(),
            }),
            Err(source) => {
                durable::remove_tree(&part)?;
                Err(DurableError::of("take the room for", &path)(source).into())
            }
        }
    }

    /// Adds whole pages that lie at `at`, behind all that were added before.
    ///
    /// # Errors
    /// They cannot be written.
    ///
    /// # Panics
    /// They lie before others, or beyond 16 TiB.
    pub fn add(&mut self, at: u64, bytes: &[u8]) -> Result<(), DeltaError> {
        let page = |bytes: u64| u32::try_from(bytes / PAGE_BYTES as u64).expect("within 16 TiB");
        let (first, n_pages) = (page(at), page(bytes.len() as u64));
        match self.rows.last_mut() {
            Some(last) if last.first + last.n_pages == first => last.n_pages += n_pages,
            last => {
                assert!(last.is_none_or(|last| last.first + last.n_pages < first), "in order");
                self.rows.push(Row { first, n_pages });
            }
        }
        self.hasher.update(bytes);
        let place = self.n_pages * PAGE_BYTES as u64;
        let written =
            failpoint::io(DOOR.write).and_then(|()| self.pages.write_all_at(bytes, place));
        written.map_err(DurableError::of("write", &self.part.join(PAGES_FILE)))?;
        self.n_pages += u64::from(n_pages);
        Ok(())
    }

    /// Publishes it, in the place of an older one; the bytes that it takes. If it fails, the older one
    /// may be gone.
    ///
    /// # Errors
    /// It cannot be made durable.
    pub fn finish(
        self,
        key: &Key,
        is_whole: bool,
        devices: &[u8],
        carried: &Carried,
    ) -> Result<u64, DeltaError> {
        let Self { place, part, pages, rows, n_pages, hasher } = self;
        let index: Vec<u8> = rows.iter().flat_map(|row| row.to_bytes()).collect();
        pages.set_len(n_pages * PAGE_BYTES as u64).map_err(failed("cut"))?;
        pages.sync_all().map_err(DurableError::of("sync", &part.join(PAGES_FILE)))?;
        DOOR.write_new(&part.join(INDEX_FILE), &index)?;
        DOOR.write_new(&part.join(DEVICES_FILE), devices)?;
        let record = Record {
            format: FORMAT,
            key: key.clone(),
            is_whole,
            n_pages,
            index_sha256: sha256(&[&index]),
            pages_sha256: hex(&hasher.finalize()),
            devices_sha256: sha256(&[devices]),
            carried: carried.clone(),
        };
        let text = serde_json::to_string(&record).expect("plain fields");
        let text = format!("{}\n{text}", sha256(&[text.as_bytes()]));
        DOOR.write_new(&part.join(RECORD_FILE), text.as_bytes())?;
        durable::sync(&part)?;
        // A directory takes no other's place. The older one is of no use any more.
        durable::remove_tree(&place)?;
        DOOR.rename(&part, &place)?;
        let others = index.len() + devices.len() + text.len();
        Ok(n_pages * PAGE_BYTES as u64 + others as u64)
    }

    /// Leaves nothing of it.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn give_up(self) -> Result<(), DurableError> {
        durable::remove_tree(&self.part)
    }
}

impl Row {
    fn to_bytes(self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        bytes[..4].copy_from_slice(&self.first.to_le_bytes());
        bytes[4..].copy_from_slice(&self.n_pages.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_le_bytes(bytes))
        };
        Some(Self { first: word(0)?, n_pages: word(4)? })
    }
}

impl Delta {
    /// Opens the RAM in `dir` of a guest with `ram_bytes`, after checking all but the pages themselves,
    /// which are checked as they are read.
    ///
    /// # Errors
    /// [`DeltaError::Absent`], [`DeltaError::Damaged`] and [`DeltaError::Foreign`] say that it is of no
    /// use; the others that it cannot be used now.
    pub fn open(dir: &Path, key: &Key, ram_bytes: u64) -> Result<Self, DeltaError> {
        let damaged = |why: &str| damaged(dir, why);
        let record = read_record(dir)?;
        if let Some(what) = record.key.difference(key) {
            return Err(DeltaError::Foreign { what });
        }
        let index_max = ram_bytes / PAGE_BYTES as u64 * ROW_BYTES as u64;
        let index = read_bounded(&dir.join(INDEX_FILE), index_max)?;
        let devices = read_bounded(&dir.join(DEVICES_FILE), STATE_MAX_BYTES)?;
        if sha256(&[&index]) != record.index_sha256 {
            return Err(damaged("its index is not what was saved"));
        }
        if sha256(&[&devices]) != record.devices_sha256 {
            return Err(damaged("the state of its devices is not what was saved"));
        }
        let rows: Option<Vec<Row>> = index.chunks(ROW_BYTES).map(Row::from_bytes).collect();
        let rows = rows.ok_or_else(|| damaged("its index is cut"))?;
        if !are_in_order(&rows, ram_bytes) {
            return Err(damaged("its index names pages that there are not"));
        }
        let n_pages: u64 = rows.iter().map(|row| u64::from(row.n_pages)).sum();
        let pages = File::open(dir.join(PAGES_FILE)).map_err(failed("open"))?;
        let bytes = pages.metadata().map_err(failed("look at"))?.len();
        if (n_pages, bytes) != (record.n_pages, n_pages * PAGE_BYTES as u64) {
            return Err(damaged("it has more or fewer pages than were saved"));
        }
        Ok(Self { dir: dir.to_owned(), record, rows, pages, devices })
    }

    /// Pages that it lacks are zeros; else they are the template's.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.record.is_whole
    }

    /// State of its devices.
    #[must_use]
    pub fn devices(&self) -> &[u8] {
        &self.devices
    }

    /// What its shim wants to know again.
    #[must_use]
    pub const fn carried(&self) -> &Carried {
        &self.record.carried
    }

    /// Calls `put` with the place and the bytes of all pages, in order. What was put is good only if all
    /// of it went well.
    ///
    /// # Errors
    /// [`DeltaError::Damaged`]; or they cannot be read, or put.
    pub fn each(
        &self,
        mut put: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<(), DeltaError> {
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut place = 0;
        for row in &self.rows {
            let mut at = u64::from(row.first) * PAGE_BYTES as u64;
            let end = at + u64::from(row.n_pages) * PAGE_BYTES as u64;
            while at < end {
                let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                let bytes = &mut chunk[..wanted];
                self.pages.read_exact_at(bytes, place).map_err(failed("read"))?;
                hasher.update(&*bytes);
                put(at, bytes).map_err(failed("restore"))?;
                at += wanted as u64;
                place += wanted as u64;
            }
        }
        if hex(&hasher.finalize()) == self.record.pages_sha256 {
            Ok(())
        } else {
            Err(damaged(&self.dir, "its pages are not what was saved"))
        }
    }
}

/// What the RAM in `dir` belongs to, if there is any.
///
/// # Errors
/// As [`Delta::open`].
pub fn key_of(dir: &Path) -> Result<Option<Key>, DeltaError> {
    match read_record(dir) {
        Ok(record) => Ok(Some(record.key)),
        Err(DeltaError::Absent) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sees to it that it is never used again, whatever happens.
///
/// # Errors
/// It may still be there.
pub fn forget(dir: &Path) -> Result<(), DurableError> {
    let record = dir.join(RECORD_FILE);
    durable::remove_file(&record)?;
    durable::sync_parent(&record)
}

/// Removes it, and one that was not finished.
///
/// # Errors
/// Something cannot be removed.
pub fn remove(dir: &Path) -> Result<(), DurableError> {
    durable::remove_tree(dir)?;
    durable::remove_tree(&dir.with_extension("new"))
}

fn read_record(dir: &Path) -> Result<Record, DeltaError> {
    let text = match read_bounded(&dir.join(RECORD_FILE), RECORD_MAX_BYTES) {
        Err(DeltaError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(DeltaError::Absent);
        }
        other => other?,
    };
    let text = String::from_utf8_lossy(&text);
    let body = text.split_once('\n').filter(|(digest, body)| sha256(&[body.as_bytes()]) == *digest);
    let (_, body) = body.ok_or_else(|| damaged(dir, "its record is not what was saved"))?;
    let record: Record =
        serde_json::from_str(body).map_err(|error| damaged(dir, &error.to_string()))?;
    if record.format == FORMAT { Ok(record) } else { Err(DeltaError::Foreign { what: "format" }) }
}

fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, DeltaError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = read().map_err(failed("read"))?;
    if bytes.len() as u64 > max {
        return Err(damaged(path, "it is larger than any can be"));
    }
    Ok(bytes)
}

fn are_in_order(rows: &[Row], ram_bytes: u64) -> bool {
    let mut next = 0;
    rows.iter().all(|row| {
        let (first, n_pages) = (u64::from(row.first), u64::from(row.n_pages));
        let is_behind = first >= next && n_pages > 0;
        next = first + n_pages;
        is_behind && next * PAGE_BYTES as u64 <= ram_bytes
    })
}

fn damaged(path: &Path, why: &str) -> DeltaError {
    DeltaError::Damaged { path: path.to_owned(), why: why.to_owned() }
}

fn failed<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> DeltaError {
    move |source| DeltaError::Io { action, source: source.into() }
}

#[cfg(test)]
mod tests;
