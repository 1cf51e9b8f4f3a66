//! A real Debian root file system, made once for all tests.
//!
//! It lies as a tarball in `target/test-cache`, named by the digest of the script that makes it, so
//! that another script makes another. Tests that run at the same time wait for the one that makes
//! it. Packages come from where the host has its own.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Instance, instance};

/// Makes the tarball `$1`: Debian of the host's release, from the first mirror in the host's list.
///
/// The root is made where devices may be made, and carries neither the mirror nor packages that were
/// downloaded.
const SCRIPT: &str = r#"
set -eu
. /etc/os-release
mirror=$(sed -rn \
    -e 's/^URIs:[[:space:]]*([^[:space:]]+).*/\1/p' \
    -e 's/^deb([[:space:]]+\[[^]]*\])?[[:space:]]+([^[:space:]]+).*/\2/p' \
    /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
debootstrap --variant=minbase --include=systemd-sysv,dbus \
    "$VERSION_CODENAME" "$work/root" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
: >"$work/root/etc/apt/sources.list"
tar --create --one-file-system --numeric-owner --xattrs --file "$1.part" -C "$work/root" .
mv "$1.part" "$1"
"#;

/// Imports it as `debian:latest`.
///
/// # Panics
/// It cannot be made or imported.
pub fn import(instance: &Instance) {
    let tarball = tarball();
    let body = serde_json::json!({"path": tarball, "name": "debian"});
    drop(instance.post("/v1/images/import", &body).expect(201));
}

/// The tarball; made if it is not there.
fn tarball() -> PathBuf {
    let cache = cache_dir();
    fs::create_dir_all(&cache).expect("the cache can be made");
    let mut hasher = DefaultHasher::new();
    SCRIPT.hash(&mut hasher);
    let tarball = cache.join(format!("debian-{:016x}.tar", hasher.finish()));
    let lock = File::create(cache.join("debian.lock")).expect("the lock can be made");
    lock.lock().expect("the lock can be taken");
    if !tarball.exists() {
        make(&tarball);
    }
    tarball
}

fn make(tarball: &Path) {
    let made = Command::new("sh").args(["-c", SCRIPT, "sh"]).arg(tarball).output().expect("sh");
    assert!(made.status.success(), "debootstrap: {}", String::from_utf8_lossy(&made.stderr));
}

/// `target/test-cache`, whatever the target's own directory is.
fn cache_dir() -> PathBuf {
    let binary = instance::binary("dormouse");
    let target = binary.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    target.expect("a cargo target directory").join("test-cache")
}
