//! Real Debian root file systems, each made once for all tests.
//!
//! It lies as a tarball in `target/test-cache`, named by the digest of the script that makes it, so
//! that another script makes another. Tests that run at the same time wait for the one that makes
//! it. Packages come from where the host has its own.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Instance, instance};

/// Makes the tarball `$1` with the packages `$2`: Debian of the host's release, from the first mirror in
/// the host's list.
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
debootstrap --variant=minbase --include="$2" \
    "$VERSION_CODENAME" "$work/root" "$mirror" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; exit 1; }
rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
: >"$work/root/etc/apt/sources.list"
tar --create --one-file-system --numeric-owner --xattrs --file "$1.part" -C "$work/root" .
mv "$1.part" "$1"
"#;

/// What a machine needs that has systemd as its program.
const COMPUTER: &str = "systemd-sysv,dbus";

/// What our package needs, and systemd to read its unit.
const HOST: &str = "ca-certificates,e2fsprogs,erofs-utils,nftables,systemd";

/// Imports one as `debian:latest` in which systemd can be the program.
///
/// # Panics
/// It cannot be made or imported.
pub fn import(instance: &Instance) {
    let tarball = tarball("debian", COMPUTER);
    let body = serde_json::json!({"path": tarball, "name": "debian"});
    drop(instance.post("/v1/images/import", &body).expect(201));
}

/// Unpacks one into `root` that has what our package needs.
///
/// # Panics
/// It cannot be made or unpacked.
pub fn unpack_host(root: &Path) {
    let tarball = tarball("host", HOST);
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--numeric-owner", "--xattrs", "--file"]).arg(tarball);
    assert!(tar.arg("-C").arg(root).status().expect("tar").success(), "tar failed");
}

/// The tarball of this name with these packages; made if it is not there.
fn tarball(name: &str, packages: &str) -> PathBuf {
    let cache = cache_dir();
    fs::create_dir_all(&cache).expect("the cache can be made");
    let mut hasher = DefaultHasher::new();
    (SCRIPT, packages).hash(&mut hasher);
    let tarball = cache.join(format!("{name}-{:016x}.tar", hasher.finish()));
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("the lock can be made");
    lock.lock().expect("the lock can be taken");
    if !tarball.exists() {
        make(&tarball, packages);
    }
    tarball
}

fn make(tarball: &Path, packages: &str) {
    let mut make = Command::new("sh");
    let made = make.args(["-c", SCRIPT, "sh"]).arg(tarball).arg(packages).output().expect("sh");
    assert!(made.status.success(), "debootstrap: {}", String::from_utf8_lossy(&made.stderr));
}

/// `target/test-cache`, whatever the target's own directory is.
fn cache_dir() -> PathBuf {
    let binary = instance::binary("dormouse");
    let target = binary.ancestors().find(|dir| dir.join("CACHEDIR.TAG").exists());
    target.expect("a cargo target directory").join("test-cache")
}
