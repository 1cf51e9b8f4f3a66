//! A booted guest that waits for its orders: what every start begins from.
//!
//! ```text
//! <dir>/<id>/ram      its RAM, pages of zeros left out
//! <dir>/<id>/state    its devices, as QEMU saved them
//! <dir>/<id>/record   what it was made of, and what the two must contain, as JSON
//! <dir>/new-<id>/     one that is being made
//! ```
//!
//! The id is of all that shapes it ([`Key`]), so another kernel, init, QEMU or shape is another template.
//!
//! In use it lies in RAM, in files without a name that nobody can change any more: QEMU opens the RAM of
//! a guest for writing even where it is to be private, and a guest that has taken over its QEMU must not
//! reach the RAM of all others through it. As long as anybody has such a file open, its pages stay.

use crate::command_line::{Purpose, arguments};
use crate::page::{PAGE_BYTES, each_filled};
use crate::{DOOR, STATE_MAX_BYTES, hex, sha256};
use durable::DurableError;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shim_proto::shape::{Accel, Shape};
use shim_proto::spec::{RehearsalSpec, TemplateSpec};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Format of the files.
const FORMAT: u32 = 1;

const RAM_FILE: &str = "ram";
const STATE_FILE: &str = "state";
const RECORD_FILE: &str = "record";

/// How often seals are asked for, each time for the 150 ms after which the kernel says that it is busy:
/// about 10 s.
const SEAL_MAX_TRIES: u32 = 64;

/// All that shapes a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Digest of what the guest boots.
    pub guest: String,
    /// What QEMU calls itself.
    pub qemu: String,
    /// Shape of the machine.
    pub shape: Shape,
    /// The host's processor, where the guest sees it; empty for an emulated one.
    pub processor: String,
    /// Rate of the host's time stamp counter in kHz, which an emulated processor shows; else 0.
    pub tsc_khz: u32,
    /// Size in bytes of the disk of the start that it has rehearsed, which its kernel takes for that of any
    /// disk.
    pub disk_bytes: u64,
}

/// A template to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where templates are kept.
    pub dir: PathBuf,
    /// What it is made of.
    pub key: Key,
    /// The kernel's program.
    pub kernel_path: PathBuf,
    /// The archive that it boots from.
    pub initramfs_path: PathBuf,
    /// QEMU's program.
    pub qemu_path: PathBuf,
    /// Network namespace without a link, for the monitor.
    pub netns_path: PathBuf,
    /// Uid and gid of the monitor, nobody else's.
    pub uid: u32,
    /// Directory under each cgroup hierarchy.
    pub cgroup: String,
    /// What the guest has done once when it is saved.
    pub rehearsal: RehearsalSpec,
}

/// What is known of a template without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    format: u32,
    key: Key,
    /// SHA-256 of the pages that hold something, each behind its offset.
    ram_sha256: String,
    state_sha256: String,
}

/// A template in use.
#[derive(Debug)]
pub struct Template {
    key: Key,
    ram: File,
    state: File,
    resident_bytes: u64,
    ram_sha256: String,
}

/// A template that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It was never made, or not to the end.
    #[error("there is no template of this kind")]
    Absent,
    /// It is not what it was when it was made. It is of no use; make it again.
    #[error("the template in `{}` is damaged: {why}", path.display())]
    Damaged {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Its files cannot be written.
    #[error("the template cannot be kept")]
    Write(#[from] DurableError),
    /// A file cannot be read, or has no room in RAM.
    #[error("cannot {action} the template's `{file}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        file: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl Key {
    /// What the template is called. The machine that QEMU makes of the shape is part of it.
    #[must_use]
    pub fn id(&self) -> String {
        let machine = arguments(&self.shape, Purpose::Boot { tsc_khz: self.tsc_khz });
        let text = serde_json::to_vec(&(FORMAT, self, machine)).expect("plain fields");
        let digest = sha256(&[&text]);
        format!("{}-{}", self.shape, &digest[..16])
    }
}

/// What of the host's processor shapes a template: a guest that runs on it has seen all it can do.
#[must_use]
pub fn host_processor(accel: Accel) -> String {
    match accel {
        Accel::Tcg => String::new(),
        Accel::Kvm => {
            let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            let wanted = ["vendor_id", "model name", "stepping", "microcode", "flags"];
            let is_wanted = |line: &&str| wanted.iter().any(|name| line.starts_with(name));
            let first = text.split("\n\n").next().unwrap_or_default();
            first.lines().filter(is_wanted).collect::<Vec<_>>().join("\n")
        }
    }
}

/// RAM for a guest that is to become a template.
///
/// # Errors
/// The host has no room for it.
pub fn blank_ram(shape: &Shape) -> Result<File, TemplateError> {
    nameless("ram", shape.ram_bytes())
}

impl Template {
    /// Keeps what a guest has become: `ram` from [`blank_ram`], which nobody writes to any more, and the
    /// state of its devices. Replaces one with the same key.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn save(dir: &Path, key: &Key, ram: &File, state: &[u8]) -> Result<(), TemplateError> {
        let (place, part) = (dir.join(key.id()), dir.join(format!("new-{}", key.id())));
        durable::make_private_dir(dir)?;
        durable::remove_tree(&part)?;
        durable::make_private_dir(&part)?;
        let ram_sha256 = keep_ram(ram, &part.join(RAM_FILE))?;
        DOOR.write_new(&part.join(STATE_FILE), state)?;
        let state_sha256 = sha256(&[state]);
        let record = Record { format: FORMAT, key: key.clone(), ram_sha256, state_sha256 };
        let text = serde_json::to_vec(&record).expect("plain fields");
        DOOR.write_new(&part.join(RECORD_FILE), &text)?;
        durable::sync(&part)?;
        // A directory takes no other's place. In between there is none, which is as good as a damaged one.
        durable::remove_tree(&place)?;
        Ok(DOOR.rename(&part, &place)?)
    }

    /// Takes a template into use, after checking every byte of it.
    ///
    /// # Errors
    /// [`TemplateError::Absent`] and [`TemplateError::Damaged`] say that it has to be made; the others
    /// that it cannot be used now.
    pub fn open(dir: &Path, key: &Key) -> Result<Self, TemplateError> {
        let place = dir.join(key.id());
        let damaged =
            |why: &str| TemplateError::Damaged { path: place.clone(), why: why.to_owned() };
        let record = match fs::read(place.join(RECORD_FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(TemplateError::Absent);
            }
            Err(source) => return Err(failed("read", RECORD_FILE)(source)),
        };
        let record: Record =
            serde_json::from_slice(&record).map_err(|error| damaged(&error.to_string()))?;
        if (record.format, &record.key) != (FORMAT, key) {
            return Err(damaged("it is of another kind than its name says"));
        }
        let (ram, ram_sha256, resident_bytes) = take_ram(&place.join(RAM_FILE), &key.shape)?;
        if ram_sha256 != record.ram_sha256 {
            return Err(damaged("its RAM is not what was saved"));
        }
        let bytes = read_state(&place.join(STATE_FILE)).map_err(failed("read", STATE_FILE))?;
        if sha256(&[&bytes]) != record.state_sha256 {
            return Err(damaged("the state of its devices is not what was saved"));
        }
        let state = nameless("state", bytes.len() as u64)?;
        state.write_all_at(&bytes, 0).map_err(failed("hold", STATE_FILE))?;
        for file in [&ram, &state] {
            seal(file).map_err(failed("seal", RAM_FILE))?;
        }
        Ok(Self { key: key.clone(), ram, state, resident_bytes, ram_sha256 })
    }

    /// What it was made of.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// What a shim needs to know of it, as long as this is held.
    #[must_use]
    pub fn spec(&self) -> TemplateSpec {
        TemplateSpec {
            shape: self.key.shape,
            ram_path: self.ram_path(),
            state_path: self.state_path(),
            resident_bytes: self.resident_bytes,
            disk_bytes: self.key.disk_bytes,
            id: self.key.id(),
            ram_sha256: self.ram_sha256.clone(),
        }
    }

    /// Its RAM.
    #[must_use]
    pub fn ram(&self) -> BorrowedFd<'_> {
        self.ram.as_fd()
    }

    /// Where other processes of this host's root open its RAM.
    fn ram_path(&self) -> PathBuf {
        path_for_others(&self.ram)
    }

    /// The same for the state of its devices. Each opens it anew, to read it from the beginning.
    fn state_path(&self) -> PathBuf {
        path_for_others(&self.state)
    }
}

/// What the template with this id was made of, if it is there.
#[must_use]
pub fn find(dir: &Path, id: &str) -> Option<Key> {
    if id.contains('/') {
        return None;
    }
    let text = fs::read(dir.join(id).join(RECORD_FILE)).ok()?;
    let record: Record = serde_json::from_slice(&text).ok()?;
    (record.key.id() == id).then_some(record.key)
}

/// Removes templates that are not wanted, those that nobody can read, and parts of such.
///
/// # Errors
/// Something cannot be removed.
pub fn prune(dir: &Path, is_wanted: impl Fn(&Key) -> bool) -> Result<(), DurableError> {
    if !dir.exists() {
        return Ok(());
    }
    for name in durable::names_in(dir)? {
        let record = fs::read(dir.join(&name).join(RECORD_FILE)).ok();
        let record = record.and_then(|text| serde_json::from_slice::<Record>(&text).ok());
        let is_kept = record.is_some_and(|found| found.key.id() == name && is_wanted(&found.key));
        if !is_kept {
            durable::remove_tree(&dir.join(name))?;
        }
    }
    Ok(())
}

fn path_for_others(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

/// A file in RAM without a name, which can be sealed.
fn nameless(file: &'static str, size_bytes: u64) -> Result<File, TemplateError> {
    let make = || {
        let fd = memfd_create(file, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let made = File::from(fd);
        made.set_len(size_bytes)?;
        Ok(made)
    };
    make().map_err(failed("make room in RAM for", file))
}

/// From now on nobody can change the file, in no way, for ever.
fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    Ok(while_pages_are_held(|| fcntl_add_seals(file, seals))?)
}

/// Asks for the seals until nobody else holds a page. The kernel itself does, for as long as it moves pages
/// together and waits for disks in between; it answers `EBUSY` when one was held for 150 ms.
fn while_pages_are_held(mut add: impl FnMut() -> Result<(), Errno>) -> Result<(), Errno> {
    for _ in 1..SEAL_MAX_TRIES {
        match add() {
            Err(Errno::BUSY) => {}
            answer => return answer,
        }
    }
    add()
}

/// Writes the pages of `ram` that hold something to the new file `path`; their digest.
fn keep_ram(ram: &File, path: &Path) -> Result<String, TemplateError> {
    let kept = File::options().create_new(true).write(true).open(path);
    let kept = kept.map_err(DurableError::of("create", path))?;
    let size = ram.metadata().map_err(failed("look at", RAM_FILE))?.len();
    let mut hasher = Sha256::new();
    let written = kept.set_len(size).and_then(|()| {
        each_filled(ram, |at, page| {
            failpoint::io(DOOR.write)?;
            digest_page(&mut hasher, at, page);
            kept.write_all_at(page, at)
        })
    });
    written.and_then(|()| kept.sync_all()).map_err(DurableError::of("write", path))?;
    Ok(hex(&hasher.finalize()))
}

/// Reads what [`keep_ram`] has written into RAM; the file there, its digest, and the bytes it takes.
fn take_ram(path: &Path, shape: &Shape) -> Result<(File, String, u64), TemplateError> {
    let kept = File::open(path).map_err(failed("open", RAM_FILE))?;
    let ram = blank_ram(shape)?;
    let mut hasher = Sha256::new();
    let mut resident_bytes = 0;
    let copied = each_filled(&kept, |at, page| {
        // Beyond the RAM nothing was ever written.
        if at + page.len() as u64 > shape.ram_bytes() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        digest_page(&mut hasher, at, page);
        resident_bytes += PAGE_BYTES as u64;
        ram.write_all_at(page, at)
    });
    match copied {
        Ok(()) => Ok((ram, hex(&hasher.finalize()), resident_bytes)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            let path = path.with_file_name("");
            Err(TemplateError::Damaged { path, why: "its RAM has another size".to_owned() })
        }
        Err(error) => Err(failed("read", RAM_FILE)(error)),
    }
}

fn digest_page(hasher: &mut Sha256, at: u64, page: &[u8]) {
    hasher.update(at.to_le_bytes());
    hasher.update(page);
}

fn read_state(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    File::open(path)?.take(STATE_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn failed(action: &'static str, file: &'static str) -> impl FnOnce(io::Error) -> TemplateError {
    move |source| TemplateError::Io { action, file, source }
}

#[cfg(test)]
mod tests;
