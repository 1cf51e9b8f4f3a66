//! What runs the code of guests: KVM, where one has booted by it.
//!
//! That `/dev/kvm` opens says little: on some hosts it makes virtual machines whose kernel never gets
//! anywhere. So a guest is booted by it, once in each boot of the host and for each QEMU and each kernel
//! of guests, and given up when it takes too long. What came of it is kept in a file. A boot that
//! succeeds is no loss: it leaves the first template behind.

use super::Vms;
use crate::error::ControlError;
use disk::DiskStore;
use durable::Door;
use model::BootId;
use serde::{Deserialize, Serialize};
use shim_proto::shape::{Accel, Shape};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The door to the processor's support for virtual machines.
const KVM: &str = "/dev/kvm";

/// The way of the outcome to the disk.
const DOOR: Door = Door {
    write: "vms.kvm.write",
    before_rename: "vms.kvm.rename.before",
    after_rename: "vms.kvm.rename.after",
};

/// What is booted: a machine of the usual size.
const SHAPE: Shape = Shape { ram_mib: 256, n_cpus: 1, accel: Accel::Kvm };

/// What runs the code of guests here, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) accel: Accel,
    /// One sentence without its full stop.
    pub(crate) why: String,
}

impl Found {
    /// Nobody has to find out.
    pub(super) fn told(accel: Accel) -> Self {
        Self { accel, why: "the instance was started so".to_owned() }
    }
}

/// What a boot by KVM came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    of: Tried,
    /// Why not, if not.
    refused: Option<String>,
}

/// What was tried: another may come to something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Tried {
    boot: BootId,
    qemu: String,
    guest: String,
}

impl Vms {
    /// What runs the code of guests here. Blocking: as long as a boot takes, or is waited for, if that
    /// has not been tried since the host booted; else some tenths of a second the first time.
    pub(crate) fn accel(&self, disks: &DiskStore) -> Result<&Found, ControlError> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let found = self.find_accel(disks)?;
        // Whoever came first has said the same.
        Ok(self.found.get_or_init(|| found))
    }

    /// The same if it is known by now.
    pub(crate) fn known_accel(&self) -> Option<Accel> {
        self.found.get().map(|found| found.accel)
    }

    fn find_accel(&self, disks: &DiskStore) -> Result<Found, ControlError> {
        if let Err(error) = File::options().read(true).write(true).open(KVM) {
            let why = format!("`{KVM}` cannot be opened: {error}");
            return Ok(Found { accel: Accel::Tcg, why });
        }
        let mut state = self.lock();
        let source = self.source(&mut state, disks)?;
        let tried = Tried {
            boot: self.boot.clone(),
            qemu: source.qemu.clone(),
            guest: source.image.digest().to_owned(),
        };
        let path = self.record_path();
        let record = match read(&path).filter(|record| record.of == tried) {
            Some(record) => record,
            None => {
                let began = Instant::now();
                let made = self.make(&self.order(source, SHAPE));
                let took_ms = began.elapsed().as_millis();
                let refused = made.err().map(|error| error.to_string());
                tracing::info!(
                    took_ms,
                    refused,
                    "a guest was booted by KVM, to see whether it does"
                );
                let record = Record { of: tried, refused };
                write(&path, &record)?;
                record
            }
        };
        Ok(match record.refused {
            None => Found { accel: Accel::Kvm, why: "a guest has booted by KVM".to_owned() },
            Some(why) => Found {
                accel: Accel::Tcg,
                why: format!("`{KVM}` is there, but no guest boots by it: {why}"),
            },
        })
    }

    fn record_path(&self) -> PathBuf {
        self.dir.join("kvm.json")
    }
}

/// The last one; what cannot be read is tried again.
fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write(path: &Path, record: &Record) -> Result<(), ControlError> {
    let text = serde_json::to_vec(record).expect("plain fields");
    DOOR.replace(&path.with_extension("new"), path, &text)
        .map_err(|e| ControlError::host(e.action, &e.path, e.source))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "00000000-0000-4000-8000-000000000000";

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_damaged_one_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("kvm.json");
        assert_eq!(read(&path), None, "not there");
        let of = Tried {
            boot: BOOT.parse().expect("an id"),
            qemu: "7.2".to_owned(),
            guest: "a".to_owned(),
        };
        for refused in [None, Some("not within 10 s".to_owned())] {
            let record = Record { of: of.clone(), refused };
            write(&path, &record).expect("written");
            assert_eq!(read(&path), Some(record));
        }
        let whole = fs::read(&path).expect("readable");
        fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
        assert_eq!(read(&path), None, "half of it");
    }
}
