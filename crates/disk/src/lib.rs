//! What does the machine keep?
//!
//! This room owns every machine's disk: one sparse ext4 file below `machines/<id>/`, cloned from a
//! template that was formatted once, with a small record beside it. It also owns the system calls
//! that attach such a file, the space that the data directory has left, and the ballast that keeps
//! a full disk usable.
//!
//! ```text
//! <data>/machines/<id>/disk.ext4   the disk; exists only when complete
//! <data>/machines/<id>/disk.json   its record: size, base digest, how it is attached
//! <data>/templates/ext4-v1-<n>g    a formatted, empty disk of n GiB
//! <data>/quarantine/machines/…     what nobody knew; kept for a person to look at
//! <data>/tmp/disk/                 half-made things; emptied at open
//! <data>/ballast                   64 MiB to give back when the file system is full
//! ```
//!
//! Two writers never meet: whoever attaches a disk holds its [`DiskLock`], and the kernel keeps
//! that lock for as long as a loop device still uses the file.

mod attach;
mod clone;
mod error;
mod lock;
mod mend;
mod record;
mod space;
mod store;
mod template;

pub use attach::{LoopDevice, LoopMode, attach_loop, mount_ext4, mount_ext4_detached};
pub use clone::copy_data;
pub use error::DiskError;
pub use lock::DiskLock;
pub use mend::mend;
pub use record::{AttachKind, DiskRecord};
pub use space::{BALLAST_BYTES, ballast, is_full, room};
pub use store::{DISK_SIZE_GIB_MAX, DiskStore};

/// How files of this room become visible.
const DOOR: durable::Door = durable::Door {
    write: "disk.write",
    before_rename: "disk.rename.before",
    after_rename: "disk.rename.after",
};
