//! Debian's cloud kernel, fetched once for all tests.
//!
//! It lies unpacked in `target/test-cache`, named by the digest of the scripts that fetch it. The
//! package is only unpacked: installing one would bring an initramfs and a boot loader along.

use crate::instance;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fetches the kernel's package, unpacked, into the directory `$1`.
const FETCH: &str = include_str!("../../../scripts/guest-kernel");

/// Adds to the directory `$1`, which has the `package`: `vmlinuz`, and those modules in
/// `modules/<release>` that an instance needs, with their index.
const ARRANGE: &str = r#"
set -eu
cd "$1"
release=$(basename package/boot/vmlinuz-* | sed 's/^vmlinuz-//')
all=$(find package -type d -path "*lib/modules/$release")
kept=modules/lib/modules/$release
mkdir -p "$kept/kernel"
cp package/boot/vmlinuz-* vmlinuz
cp "$all"/modules.* "$kept"
for part in crypto drivers/block/loop.ko drivers/net/veth.ko fs/erofs fs/overlayfs lib \
    net/ipv4/netfilter net/ipv6/netfilter net/netfilter; do
    mkdir -p "$kept/kernel/$(dirname $part)"
    cp -r "$all/kernel/$part" "$kept/kernel/$part"
done
busybox depmod -b modules "$release"
"#;

/// A kernel that can be booted.
#[derive(Debug)]
pub struct Kernel {
    dir: PathBuf,
}

impl Kernel {
    /// The kernel; fetched if it is not there.
    ///
    /// # Errors
    /// What a host without Debian's packages, or without a way to them, says.
    ///
    /// # Panics
    /// The cache cannot be made.
    pub fn fetch() -> Result<Self, String> {
        let cache = cache_dir();
        fs::create_dir_all(&cache).expect("the cache can be made");
        let mut hasher = DefaultHasher::new();
        (FETCH, ARRANGE).hash(&mut hasher);
        let dir = cache.join(format!("kernel-{:016x}", hasher.finish()));
        let lock = File::create(cache.join("kernel.lock")).expect("the lock can be made");
        lock.lock().expect("the lock can be taken");
        if !dir.exists() {
            fetch(&dir)?;
        }
        Ok(Self { dir })
    }

    /// The image to boot.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// The unpacked package: `boot` and `lib/modules` as on a host that has it installed.
    #[must_use]
    pub fn package(&self) -> PathBuf {
        self.dir.join("package")
    }

    /// A tree with its modules in `lib/modules/<release>`.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.dir.join("modules")
    }
}

fn fetch(dir: &Path) -> Result<(), String> {
    // What an interrupted run has left.
    let part = dir.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).expect("the cache is ours");
    }
    let sh = |script: &str, place: &Path| {
        let done = Command::new("sh").args(["-c", script, "sh"]).arg(place).output().expect("sh");
        let said = String::from_utf8_lossy(&done.stderr).trim().replace('\n', "; ");
        done.status.success().then_some(()).ok_or(format!("no kernel can be fetched: {said}"))
    };
    sh(FETCH, &part.join("package"))?;
    sh(ARRANGE, &part)?;
    fs::rename(&part, dir).expect("the cache is ours");
    Ok(())
}

/// `target/test-cache`, whatever the target's own directory is.
///
/// # Panics
/// The tests were built outside of a target directory.
#[must_use]
pub fn cache_dir() -> PathBuf {
    let binary = instance::binary("dormouse");
    let target = binary.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    target.expect("a cargo target directory").join("test-cache")
}
