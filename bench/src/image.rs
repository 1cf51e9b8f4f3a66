//! The image that everybody runs: a static busybox, the program that stamps and the one that serves.

use crate::process;
use crate::scratch::Scratch;
use anyhow::{Context as _, ensure};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Its reference, everywhere.
pub(crate) const NAME: &str = "stamp:1";

/// Path of the program in it.
pub(crate) const PROGRAM: &str = "/stamp";

/// Path of the web server in it; its argument is the address to listen on.
pub(crate) const WEB: &str = "/web";

/// Directories that runtimes mount on or write to.
const DIRS: [&str; 9] = ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "var", "root"];

/// The image as a directory and as a tarball.
#[derive(Debug)]
pub(crate) struct Image {
    /// Its root directory.
    pub(crate) rootfs: PathBuf,
    /// The same as an uncompressed tarball.
    pub(crate) tarball: PathBuf,
}

impl Image {
    /// Makes the image in `scratch`.
    pub(crate) fn make(scratch: &Scratch) -> anyhow::Result<Self> {
        let rootfs = scratch.dir("rootfs")?;
        fill(&rootfs)?;
        let tarball = scratch.path("image.tar");
        pack(&rootfs, &tarball).with_context(|| format!("cannot pack {}", rootfs.display()))?;
        Ok(Self { rootfs, tarball })
    }
}

fn fill(rootfs: &Path) -> anyhow::Result<()> {
    for dir in DIRS {
        let path = rootfs.join(dir);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    let busybox = process::find("busybox").context("no busybox; install `busybox-static`")?;
    install(&busybox, &rootfs.join("bin/busybox"))?;
    install(&process::beside("bench-stamp")?, &rootfs.join(PROGRAM.trim_start_matches('/')))?;
    install(&process::beside("bench-web")?, &rootfs.join(WEB.trim_start_matches('/')))?;
    for name in ["sh", "true"] {
        symlink("busybox", rootfs.join("bin").join(name)).context("cannot link to busybox")?;
    }
    Ok(())
}

fn install(from: &Path, to: &Path) -> anyhow::Result<()> {
    let copied = fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    ensure!(copied > 0, "{} is empty", from.display());
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", to.display()))
}

fn pack(rootfs: &Path, tarball: &Path) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(File::create(tarball)?);
    archive.follow_symlinks(false);
    archive.append_dir_all(".", rootfs)?;
    archive.into_inner()?.sync_all()
}
