//! Debian's cloud kernel, fetched once for all tests.
//!
//! It lies unpacked in `target/test-cache`, named by the digest of the script that fetches it. The
//! package is only unpacked: installing one would bring an initramfs and a boot loader along.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::instance;

/// Fetches the kernel into the directory `$1`: the unpacked `package` with an index of its modules,
/// `vmlinuz`, and those modules in `modules/<release>` that an instance needs, with their index.
const SCRIPT: &str = r#"
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
download() {
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -rn 's/^ *Depends: (linux-image-.*)/\1/p' | head -n 1)
    [ -n "$package" ] && apt-get download -qq "$package"
}
download 2>/dev/null || { apt-get update -qq; download; }
dpkg-deb --extract linux-image-*.deb .
mkdir -p "$1.part"
cp -a . "$1.part/package"
rm "$1.part/package"/*.deb
release=$(basename boot/vmlinuz-* | sed 's/^vmlinuz-//')
all=$(find . -type d -path "*lib/modules/$release")
kept=$1.part/modules/lib/modules/$release
mkdir -p "$kept/kernel"
mv boot/vmlinuz-* "$1.part/vmlinuz"
mv "$all"/modules.* "$kept"
for part in crypto drivers/block/loop.ko drivers/net/veth.ko fs/erofs fs/overlayfs lib \
    net/ipv4/netfilter net/ipv6/netfilter net/netfilter; do
    mkdir -p "$kept/kernel/$(dirname $part)"
    mv "$all/kernel/$part" "$kept/kernel/$part"
done
for tree in package modules; do busybox depmod -b "$1.part/$tree" "$release"; done
mv "$1.part" "$1"
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
        SCRIPT.hash(&mut hasher);
        let dir = cache.join(format!("kernel-{:016x}", hasher.finish()));
        let lock = File::create(cache.join("kernel.lock")).expect("the lock can be made");
        lock.lock().expect("the lock can be taken");
        if !dir.exists() {
            run_script(&dir)?;
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

fn run_script(dir: &Path) -> Result<(), String> {
    // What an interrupted run has left.
    let part = dir.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).expect("the cache is ours");
    }
    let fetched = Command::new("sh").args(["-c", SCRIPT, "sh"]).arg(dir).output().expect("sh");
    let said = String::from_utf8_lossy(&fetched.stderr).trim().replace('\n', "; ");
    fetched.status.success().then_some(()).ok_or(format!("no kernel can be fetched: {said}"))
}

/// `target/test-cache`, whatever the target's own directory is.
fn cache_dir() -> PathBuf {
    let binary = instance::binary("dormouse");
    let target = binary.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    target.expect("a cargo target directory").join("test-cache")
}
