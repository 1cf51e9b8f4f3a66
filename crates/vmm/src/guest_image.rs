//! What a guest boots: its kernel, and the file system with our init and the modules.
//!
//! ```text
//! <dir>/<digest>/vmlinux      the kernel's program
//! <dir>/<digest>/initramfs    the archive that it boots from
//! <dir>/new-<digest>/         one that is being made
//! ```
//!
//! The digest is of both, so what is there needs no record: it is whole, or not what its name says.

use crate::initramfs::Initramfs;
use crate::kernel::Kernel;
use crate::{DOOR, sha256};
use durable::DurableError;
use std::fs;
use std::path::{Path, PathBuf};

const KERNEL_FILE: &str = "vmlinux";
const INITRAMFS_FILE: &str = "initramfs";

/// A kernel and its first file system, in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestImage {
    dir: PathBuf,
    digest: String,
    release: String,
}

/// A program of ours for inside.
#[derive(Clone, Copy, Debug)]
pub struct Tool<'a> {
    /// Its name.
    pub name: &'a str,
    /// The program, which needs no other file.
    pub content: &'a [u8],
}

impl GuestImage {
    /// The image of `kernel` with `init` as its first process, below `dir`; made if it is not there, or
    /// no longer what it was.
    ///
    /// # Errors
    /// The files cannot be written or read.
    pub fn ensure(
        dir: &Path,
        kernel: &Kernel,
        init: &[u8],
        tools: &[Tool<'_>],
    ) -> Result<Self, DurableError> {
        let initramfs = archive(kernel, init, tools);
        let digest = sha256(&[&kernel.vmlinux, &initramfs]);
        let image = Self { dir: dir.join(&digest), digest, release: kernel.release.clone() };
        if !image.is_whole() {
            image.write(dir, &kernel.vmlinux, &initramfs)?;
        }
        Ok(image)
    }

    /// The kernel's program.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.dir.join(KERNEL_FILE)
    }

    /// The archive that it boots from.
    #[must_use]
    pub fn initramfs(&self) -> PathBuf {
        self.dir.join(INITRAMFS_FILE)
    }

    /// SHA-256 of both, in hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The kernel's release.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Removes what lies beside it: images of other kernels and inits, and parts of such.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn prune_others(&self) -> Result<(), DurableError> {
        let Some(dir) = self.dir.parent() else { return Ok(()) };
        for name in durable::names_in(dir)?.iter().filter(|name| **name != self.digest) {
            durable::remove_tree(&dir.join(name))?;
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let parts = fs::read(self.kernel()).and_then(|kernel| {
            let initramfs = fs::read(self.initramfs())?;
            Ok(sha256(&[&kernel, &initramfs]))
        });
        parts.is_ok_and(|found| found == self.digest)
    }

    fn write(&self, dir: &Path, kernel: &[u8], initramfs: &[u8]) -> Result<(), DurableError> {
        let part = dir.join(format!("new-{}", self.digest));
        durable::make_private_dir(dir)?;
        for leftover in [&part, &self.dir] {
            durable::remove_tree(leftover)?;
        }
        durable::make_private_dir(&part)?;
        DOOR.write_new(&part.join(KERNEL_FILE), kernel)?;
        DOOR.write_new(&part.join(INITRAMFS_FILE), initramfs)?;
        durable::sync(&part)?;
        DOOR.rename(&part, &self.dir)
    }
}

/// The file system that `kernel` boots from, with what `init machine` expects to find.
#[must_use]
pub fn archive(kernel: &Kernel, init: &[u8], tools: &[Tool<'_>]) -> Vec<u8> {
    let mut archive = Initramfs::default();
    for place in ["proc", "sys", "dev", "image", "disk", "root", "bin"] {
        archive.dir(place);
    }
    archive.file("init", 0o755, init);
    for tool in tools {
        archive.file(&format!("bin/{}", tool.name), 0o755, tool.content);
    }
    let mut order = String::new();
    for module in &kernel.modules {
        archive.file(&format!("modules/{}.ko", module.name), 0o644, &module.object);
        order.push_str(&module.name);
        order.push('\n');
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    archive.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(program: &[u8]) -> Kernel {
        Kernel { release: "6.1".to_owned(), vmlinux: program.to_vec(), modules: Vec::new() }
    }

    #[test]
    fn the_same_parts_are_one_image_and_others_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let make = |program: &[u8], init: &[u8]| {
            GuestImage::ensure(dir.path(), &kernel(program), init, &[]).expect("made")
        };
        let first = make(b"kernel", b"init");
        assert_eq!(make(b"kernel", b"init"), first);
        assert_ne!(make(b"kernel", b"another").digest(), first.digest());
        assert_ne!(make(b"another", b"init").digest(), first.digest());
        let tool = Tool { name: "dm", content: b"tool" };
        let tooled = GuestImage::ensure(dir.path(), &kernel(b"kernel"), b"init", &[tool]);
        assert_ne!(tooled.expect("made").digest(), first.digest());
        assert_eq!(fs::read(first.kernel()).expect("there"), b"kernel");
    }

    #[test]
    fn others_are_pruned() {
        let dir = tempfile::tempdir().expect("a directory");
        let make = |init: &[u8]| GuestImage::ensure(dir.path(), &kernel(b"kernel"), init, &[]);
        let (old, new) = (make(b"old").expect("made"), make(b"new").expect("made"));
        new.prune_others().expect("removed");
        assert!(!old.kernel().exists() && new.kernel().exists());
    }

    #[test]
    fn a_damaged_image_is_made_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let make = || GuestImage::ensure(dir.path(), &kernel(b"kernel"), b"init", &[]);
        let image = make().expect("made");
        fs::write(image.kernel(), b"kernex").expect("ours");
        // What an earlier attempt left.
        fs::create_dir(dir.path().join(format!("new-{}", image.digest()))).expect("ours");
        assert_eq!(make().expect("made"), image);
        assert_eq!(fs::read(image.kernel()).expect("there"), b"kernel");
    }
}
