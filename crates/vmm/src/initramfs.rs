//! The file system that a guest boots from: an archive that its kernel unpacks into RAM.
//!
//! Source: the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`, the format `newc`.

use std::collections::BTreeSet;

/// Kinds of entries, in the bits that `stat` has them in.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// An archive under construction. The same entries in the same order make the same bytes.
#[derive(Debug, Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
}

impl Initramfs {
    /// Adds a directory, and those above it, unless it is there.
    pub fn dir(&mut self, path: &str) {
        self.add(path, DIRECTORY | 0o755, b"");
    }

    /// Adds a file with the permission bits `mode`, and the directories above it; one that is there stays
    /// as it is.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.add(path, REGULAR | mode & 0o7777, content);
    }

    /// Adds a symbolic link, and the directories above it.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.add(path, SYMLINK | 0o777, target.as_bytes());
    }

    /// The archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, b"");
        self.bytes
    }

    fn add(&mut self, path: &str, mode: u32, content: &[u8]) {
        let path = path.trim_start_matches('/');
        if let Some((above, _)) = path.rsplit_once('/') {
            self.dir(above);
        }
        if self.names.insert(path.to_owned()) {
            self.entry(path, mode, content);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        let number = |n: usize| u32::try_from(n).expect("an archive for RAM is below 4 GiB");
        let (n_links, none) = (1, 0);
        let fields = [
            number(self.names.len()),
            mode,
            none, // owner
            none, // group
            n_links,
            none, // time
            number(content.len()),
            none, // device of the entry, in two parts
            none,
            none, // device that it stands for, in two parts
            none,
            number(path.len() + 1),
            none, // check sum, which this format has not
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes().chain([0]));
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Initramfs;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// Another program reads it.
    #[test]
    fn busybox_lists_what_was_put_in() {
        let mut archive = Initramfs::default();
        archive.file("/etc/motd", 0o644, b"hello");
        archive.file("/etc/motd", 0o600, b"a second one is passed over");
        archive.symlink("/bin", "usr/bin");
        archive.dir("/usr/bin");
        let bytes = archive.finish();
        let mut list = Command::new("busybox")
            .args(["cpio", "-tv"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("busybox is installed");
        list.stdin.take().expect("piped").write_all(&bytes).expect("read");
        let list = list.wait_with_output().expect("it ends");
        assert!(list.status.success());
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        let rows: Vec<Vec<&str>> =
            list.lines().map(|row| row.split_whitespace().collect()).collect();
        let row = |name: &str| {
            let found = rows.iter().find(|row| row.contains(&name));
            found.unwrap_or_else(|| panic!("no `{name}` in {list}"))
        };
        assert!(row("etc")[0].starts_with("drwxr-xr-x"), "{list}");
        assert!(row("etc/motd")[0].starts_with("-rw-r--r--"), "{list}");
        assert_eq!(row("etc/motd")[2], "5", "{list}");
        assert!(row("bin").contains(&"usr/bin"), "{list}");
        assert_eq!(rows.len(), 5, "{list}");
    }
}
