//! Small images, built from what the host has.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's static busybox.
pub const BUSYBOX: &str = "/bin/busybox";

/// Writes a root file system tarball with busybox, its applets, users `root` and `app` (1000), and
/// `extra` files (path in the image, file on the host), all executable.
///
/// # Panics
/// Busybox is not installed, or the directory cannot be written to.
#[must_use]
pub fn busybox_tarball(dir: &Path, extra: &[(&str, &Path)]) -> PathBuf {
    let path = dir.join("busybox.tar");
    let file = File::create(&path).expect("the tarball can be made");
    write_tarball(file, extra).expect("the tarball can be written");
    path
}

fn write_tarball(file: File, extra: &[(&str, &Path)]) -> io::Result<()> {
    let mut tar = tar::Builder::new(file);
    for dir in ["bin", "etc", "tmp", "root", "proc", "sys", "dev", "run", "home", "home/app"] {
        let mut header =
            header(tar::EntryType::Directory, if dir == "tmp" { 0o1777 } else { 0o755 });
        let owner = if dir == "home/app" { 1000 } else { 0 };
        header.set_uid(owner);
        header.set_gid(owner);
        tar.append_data(&mut header, dir, io::empty())?;
    }
    let busybox = std::fs::read(BUSYBOX)?;
    append(&mut tar, "bin/busybox", 0o755, &busybox)?;
    for applet in applets()? {
        let mut header = header(tar::EntryType::Symlink, 0o777);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    let passwd = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n";
    append(&mut tar, "etc/passwd", 0o644, passwd)?;
    append(&mut tar, "etc/group", 0o644, b"root:x:0:\napp:x:1000:\n")?;
    for (name, source) in extra {
        append(&mut tar, name, 0o755, &std::fs::read(source)?)?;
    }
    tar.into_inner()?.sync_all()
}

fn append(tar: &mut tar::Builder<File>, name: &str, mode: u32, text: &[u8]) -> io::Result<()> {
    let mut header = header(tar::EntryType::Regular, mode);
    header.set_size(text.len() as u64);
    tar.append_data(&mut header, name.trim_start_matches('/'), text)
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}

fn applets() -> io::Result<Vec<String>> {
    let output = Command::new(BUSYBOX).arg("--list").output()?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|name| *name != "busybox")
        .map(str::to_owned)
        .collect())
}

/// Writes an executable shell script for an image.
///
/// # Panics
/// The directory cannot be written to.
#[must_use]
pub fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("the script can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
        .expect("the script can be made executable");
    path
}
