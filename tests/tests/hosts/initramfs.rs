//! The file system that a guest boots from: an archive that the kernel unpacks into RAM.
//!
//! It holds busybox, the programs that an instance calls, with their libraries, the kernel's modules,
//! the binaries of this workspace and the tests themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::kernel::Kernel;
use testkit::{image, instance};
use vmm::initramfs::Initramfs;

/// Where the tests lie in the guest, as they lie in a target directory: binaries here, tests below.
const TESTS: &str = "/target";

/// What the kernel runs first. The kernel's command line has `host=v1|v2`; the tests to run are in
/// `/tests`, a line each: the binary, then the names.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin
if [ "$1" != moved ]; then
    # `pivot_root` does not work on the kernel's first file system, but on a mount of it.
    busybox mount -o bind / /mnt
    cd /mnt
    busybox mount -o move . /
    exec busybox chroot . /init moved
fi
busybox mount -t proc proc /proc
busybox --install -s /usr/bin 2>/dev/null
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
ln -s /proc/self/fd /dev/fd
for n in 0/stdin 1/stdout 2/stderr; do ln -s "fd/${n%/*}" "/dev/${n#*/}"; done
mount -t tmpfs tmpfs /run
echo /usr/bin/modprobe >/proc/sys/kernel/modprobe
modprobe -a loop erofs
ip link set lo up
case $(cat /proc/cmdline) in
*host=v2*)
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    ;;
*host=v1*)
    mount -t tmpfs tmpfs /sys/fs/cgroup
    for tree in cpu,cpuacct memory pids devices freezer none,name=systemd; do
        mkdir "/sys/fs/cgroup/${tree#none,name=}"
        mount -t cgroup -o "$tree" cgroup "/sys/fs/cgroup/${tree#none,name=}"
    done
    ;;
esac
while read -r binary names; do
    "/target/deps/$binary" --test-threads=2 --exact $names 2>&1
done </tests
echo "the guest is done"
reboot -f
"#;

/// Programs of the host that the binaries and the tests call.
const PROGRAMS: [&str; 8] =
    ["e2fsck", "ip", "mkfs.erofs", "mkfs.ext4", "mount", "nft", "setpriv", "unshare"];

/// Binaries of this workspace that an instance consists of, and the tests' own.
const BINARIES: [&str; 6] =
    ["dm", "dormouse", "dormouse-init", "dormouse-shim", "guest-probe", "image-unpacker"];

/// Directories, and links that make one of what was two.
const DIRS: [&str; 14] = [
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "dev",
    "etc",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "var",
];
const LINKS: [(&str, &str); 4] =
    [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")];

/// Tests of one binary, by their full names.
pub(crate) type Choice = (&'static str, &'static [&'static str]);

/// Writes the archive for a guest that runs `choices`.
pub(crate) fn write(path: &Path, kernel: &Kernel, choices: &[Choice], scratch: &Path) {
    let mut archive = Archive::default();
    DIRS.iter().for_each(|dir| archive.0.dir(dir));
    LINKS.iter().for_each(|(name, target)| archive.0.symlink(name, target));
    archive.0.file("init", 0o755, INIT.as_bytes());
    archive.0.file("etc/passwd", 0o644, b"root:x:0:0::/root:/bin/sh\n");
    archive.0.file("etc/group", 0o644, b"root:x:0:\n");
    archive.file("usr/bin/busybox", Path::new(image::BUSYBOX));
    PROGRAMS.iter().for_each(|program| archive.program(program));
    archive.tree(&kernel.modules(), Path::new("usr"));
    for binary in BINARIES {
        archive.stripped(&format!("{TESTS}/{binary}"), &instance::binary(binary), scratch);
    }
    for (binary, _) in choices {
        archive.stripped(&format!("{TESTS}/deps/{binary}"), &test_binary(binary), scratch);
    }
    let list: String =
        choices.iter().map(|(binary, names)| format!("{binary} {}\n", names.join(" "))).collect();
    archive.0.file("tests", 0o644, list.as_bytes());
    fs::write(path, archive.0.finish()).expect("the archive can be written");
}

/// The executable of tests that was built last beside the running one: cargo keeps old ones.
fn test_binary(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a running test has a file");
    let dir = this.parent().expect("a file lies in a directory");
    let is_it = |path: &Path| {
        let stem = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        stem.rsplit_once('-').is_some_and(|(stem, digest)| stem == name && !digest.contains('.'))
    };
    if is_it(&this) {
        return this;
    }
    let entries = fs::read_dir(dir).expect("the directory can be read").flatten();
    let built = entries.map(|entry| entry.path()).filter(|path| is_it(path));
    let newest = built.max_by_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    newest.unwrap_or_else(|| panic!("the tests `{name}` are not built"))
}

/// Entries from files of the host.
#[derive(Default)]
struct Archive(Initramfs);

impl Archive {
    fn file(&mut self, name: &str, source: &Path) {
        let content = fs::read(source).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
        let mode = fs::metadata(source).expect("just read").permissions().mode();
        self.0.file(name, mode, &content);
    }

    /// A binary without what only a debugger wants: it would double the time to boot.
    fn stripped(&mut self, name: &str, source: &Path, scratch: &Path) {
        let copy = scratch.join("stripped");
        let done = Command::new("strip").arg("-o").args([&copy, source]).status();
        assert!(done.is_ok_and(|status| status.success()), "strip {}", source.display());
        self.file(name, &copy);
    }

    /// A program of the host, with the libraries that it is linked to.
    fn program(&mut self, name: &str) {
        let dirs = ["/usr/sbin", "/usr/bin"].map(Path::new);
        let found = dirs.iter().map(|dir| dir.join(name)).find(|path| path.exists());
        let path = found.unwrap_or_else(|| panic!("`{name}` is not installed"));
        self.file(path.to_str().expect("a plain path"), &path);
        let linked = Command::new("ldd").arg(&path).output().expect("ldd");
        let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
        for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
            let real = fs::canonicalize(library).expect("the library is there");
            let dir = fs::canonicalize(Path::new(library).parent().expect("a directory"));
            let file = Path::new(library).file_name().expect("a name");
            let place = dir.expect("the library is there").join(file);
            self.file(place.to_str().expect("a plain path"), &real);
        }
    }

    /// All files below `source`.
    fn tree(&mut self, source: &Path, place: &Path) {
        for entry in fs::read_dir(source).expect("a directory").flatten() {
            let (path, place) = (entry.path(), place.join(entry.file_name()));
            if path.is_dir() {
                self.tree(&path, &place);
            } else {
                self.file(place.to_str().expect("a plain path"), &path);
            }
        }
    }
}
