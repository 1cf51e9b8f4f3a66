//! Packages made for the test; `tests/` of the workspace boots a real one.

use super::{Kernel, KernelError, NEEDED};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const RELEASE: &str = "6.1.0-9-cloud-amd64";

/// A package with every module that is needed, as a plain file, and an image that is a program.
fn package() -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    put(root.path(), "boot/vmlinuz-6.1.0-9-cloud-amd64", b"\x7fELF the kernel");
    let tree = format!("lib/modules/{RELEASE}");
    let mut index = String::from("kernel/lib/crc16.ko:\nkernel/fs/jbd2.ko: kernel/lib/crc16.ko\n");
    for name in NEEDED {
        let needs = if name == "ext4" { " kernel/fs/jbd2.ko kernel/lib/crc16.ko" } else { "" };
        // As the files are called.
        let file = name.replace("virtio_rng", "virtio-rng");
        index.push_str(&format!("kernel/{file}.ko:{needs}\n"));
        put(root.path(), &format!("{tree}/kernel/{file}.ko"), b"\x7fELF");
    }
    for file in ["kernel/lib/crc16.ko", "kernel/fs/jbd2.ko"] {
        put(root.path(), &format!("{tree}/{file}"), b"\x7fELF");
    }
    put(root.path(), &format!("{tree}/modules.dep"), index.as_bytes());
    put(root.path(), &format!("{tree}/modules.builtin"), b"kernel/fs/ext2.ko\n");
    root
}

fn put(root: &Path, file: &str, content: &[u8]) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("it lies in a directory")).expect("ours");
    fs::write(path, content).expect("ours");
}

fn names(kernel: &Kernel) -> Vec<&str> {
    kernel.modules.iter().map(|module| module.name.as_str()).collect()
}

#[test]
fn modules_come_after_what_they_need() {
    let package = package();
    let kernel = Kernel::read(package.path()).expect("a kernel");
    assert_eq!(kernel.release, RELEASE);
    let names = names(&kernel);
    let place = |name| names.iter().position(|one| *one == name).expect("it is there");
    assert!(place("crc16") < place("jbd2") && place("jbd2") < place("ext4"), "{names:?}");
    assert_eq!(names.len(), NEEDED.len() + 2, "each once: {names:?}");
}

#[test]
fn what_is_built_in_is_not_loaded() {
    let package = package();
    let tree = format!("lib/modules/{RELEASE}");
    put(package.path(), &format!("{tree}/modules.builtin"), b"kernel/virtio-rng.ko\n");
    let kernel = Kernel::read(package.path()).expect("a kernel");
    assert!(!names(&kernel).contains(&"virtio_rng"));
}

#[test]
fn the_newest_kernel_with_modules_is_taken() {
    let package = package();
    put(package.path(), "boot/vmlinuz-6.1.0-10-cloud-amd64", b"without modules");
    put(package.path(), "boot/vmlinuz-5.10.0-99-amd64", b"older");
    put(package.path(), "lib/modules/5.10.0-99-amd64/modules.dep", b"");
    assert_eq!(Kernel::read(package.path()).expect("a kernel").release, RELEASE);
}

#[test]
fn what_is_missing_is_named() {
    let empty = tempfile::tempdir().expect("a directory");
    let error = Kernel::read(empty.path()).expect_err("there is none");
    assert!(error.to_string().contains("linux-image-cloud-amd64"), "{error}");
    let package = package();
    let index = format!("lib/modules/{RELEASE}/modules.dep");
    put(package.path(), &index, b"kernel/virtio_mmio.ko:\n");
    let error = Kernel::read(package.path()).expect_err("it lacks most");
    assert!(matches!(error, KernelError::Lacks { ref module, .. } if module == "virtio_blk"));
}

#[test]
fn an_image_that_is_none_is_refused() {
    /// A header that names a payload of `length` bytes behind it.
    fn image(length: u32, payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
        image.extend_from_slice(payload);
        image
    }
    for (image, why) in [
        (b"MZ".to_vec(), "no header"),
        (vec![0; 4096], "no header"),
        (image(u32::MAX, b""), "no header"),
        (image(4, b"what"), "gzip, lz4, xz and zstd"),
        (image(10, b"\xfd7zXZ\0\0\0\0\0"), "cannot be unpacked"),
        (image(10, b"\x1f\x8b\0\0\0\0\0\0\0\0"), "cannot be unpacked"),
        (image(9, b"\x28\xb5\x2f\xfd\0\0\0\0\0"), ""),
    ] {
        let package = package();
        put(package.path(), &format!("boot/vmlinuz-{RELEASE}"), &image);
        let error = Kernel::read(package.path()).expect_err("no kernel");
        assert!(matches!(error, KernelError::Unusable { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
}
