//! Mounting EROFS images straight from their files.
//!
//! Source: EROFS documentation of the kernel; file-backed mounts since 6.12, `directio` since 6.15.

use crate::error::ImageError;
use rustix::fs::statfs;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CStr;
use std::path::Path;
use std::process::Command;

/// Source: `include/uapi/linux/magic.h`.
const EROFS_SUPER_MAGIC: i64 = 0xE0F5_E1E2;

/// Files of an image run with nobody's rights on the host: machines see it only through overlays,
/// which have flags of their own.
const FLAGS: MountFlags = MountFlags::RDONLY.union(MountFlags::NODEV).union(MountFlags::NOSUID);

/// Whether an EROFS file system is mounted at `target`; nothing there means no.
pub(crate) fn is_mounted(target: &Path) -> Result<bool, ImageError> {
    match statfs(target) {
        Ok(stat) => Ok(stat.f_type == EROFS_SUPER_MAGIC),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(ImageError::io("look at", target)(error)),
    }
}

/// Mounts the image file at `target`, in the best way that this kernel has.
pub(crate) fn mount_erofs(image: &Path, target: &Path) -> Result<(), ImageError> {
    // Direct I/O keeps pages from being cached twice: for the file and for the mount.
    match mount_file(image, target, c"directio") {
        Err(Errno::INVAL) => {}
        Err(Errno::NOTBLK) => return mount_by_loop(image, target),
        result => return result.map_err(ImageError::io("mount", image)),
    }
    match mount_file(image, target, c"") {
        Err(Errno::NOTBLK) => mount_by_loop(image, target),
        result => result.map_err(ImageError::io("mount", image)),
    }
}

fn mount_file(image: &Path, target: &Path, options: &CStr) -> rustix::io::Result<()> {
    mount(image, target, "erofs", FLAGS, options)
}

/// Mounts by way of a loop device, which mount(8) sets up to clear itself.
fn mount_by_loop(image: &Path, target: &Path) -> Result<(), ImageError> {
    let output = Command::new("mount")
        .args(["-t", "erofs", "-o", "loop,ro,nodev,nosuid", "--"])
        .args([image, target])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .map_err(ImageError::io("run `mount` for", image))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ImageError::io("mount by a loop device", image)(std::io::Error::other(said)))
}

/// Unmounts what is mounted at `target`, if anything is, and removes the directory.
pub(crate) fn unmount_erofs(target: &Path) -> Result<(), ImageError> {
    if is_mounted(target)? {
        unmount(target, UnmountFlags::NOFOLLOW).map_err(ImageError::io("unmount", target))?;
    }
    match std::fs::remove_dir(target) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(ImageError::io("remove", target)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mount::{MountPropagationFlags, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};

    #[test]
    fn a_loop_device_serves_where_files_cannot_be_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let [tree, image, target] = ["tree", "image", "target"].map(|name| dir.path().join(name));
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::create_dir_all(&target).unwrap();
        std::fs::write(tree.join("a"), "1").unwrap();
        let made = Command::new("mkfs.erofs").arg("--quiet").args([&image, &tree]).status();
        assert!(made.unwrap().success());
        let in_own_namespace = || {
            // SAFETY: only this thread's mount namespace and working directory are unshared.
            unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.unwrap();
            let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
            mount_change("/", slave).unwrap();
            mount_by_loop(&image, &target).unwrap();
            assert!(is_mounted(&target).unwrap());
            assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "1");
            unmount_erofs(&target).unwrap();
        };
        std::thread::scope(|scope| scope.spawn(in_own_namespace).join().unwrap());
        assert!(!target.exists());
    }
}
