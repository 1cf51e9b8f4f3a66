//! A Debian root file system: about 200 MB in 7,000 entries. It is kept, because making it takes a
//! minute and the network; `scripts/demo` uses the same.

use crate::process;
use crate::scratch::Scratch;
use crate::words;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where it is kept, seen from the root of the repository, where `./dev` runs us.
const CACHE: &str = "target/demo-cache";

/// Its uncompressed tarball.
pub(super) fn root_tarball(scratch: &Scratch) -> anyhow::Result<PathBuf> {
    let tarball = Path::new(CACHE).join("debian-minbase.tar");
    if !tarball.is_file() {
        words::tell("making a Debian root once (debootstrap, minbase)");
        make(scratch, &tarball).with_context(|| format!("cannot make {}", tarball.display()))?;
    }
    Ok(tarball)
}

/// Also a run that is ended in the middle leaves no half of a tarball under its name.
fn make(scratch: &Scratch, tarball: &Path) -> anyhow::Result<()> {
    let root = scratch.dir("debian-root")?;
    let debootstrap = process::find("debootstrap").context("debootstrap is not installed")?;
    process::run(Command::new(debootstrap).args(["--variant=minbase", "bookworm"]).arg(&root))?;
    std::fs::create_dir_all(CACHE)?;
    let new = tarball.with_extension("tar.new");
    process::run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&new).arg("."))?;
    std::fs::rename(&new, tarball)?;
    std::fs::remove_dir_all(&root).context("cannot remove the unpacked root")
}
