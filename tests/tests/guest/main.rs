//! The kernel and the first file system of guests, booted by a real QEMU without hardware help.

use std::time::Duration;
use testkit::{image, report};
use tests::guest::Guest;
use vmm::initramfs::Initramfs;
use vmm::kernel::{Kernel, Module};

/// Longest time of a guest: it takes 3 s with a core of its own.
const PATIENCE: Duration = Duration::from_secs(120);

/// Loads the modules in their order. A step that does not work stops it, and then its last word is not
/// said.
const INIT: &str = r"#!/bin/busybox sh
set -e
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
while read -r module; do insmod /modules/$module.ko; done </modules/order
uname -r
grep -E 'ext4|erofs|overlay' /proc/filesystems
echo the guest is done
reboot -f
";

fn archive(modules: &[Module]) -> Vec<u8> {
    let mut archive = Initramfs::default();
    archive.dir("proc");
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file("bin/busybox", 0o755, &std::fs::read(image::BUSYBOX).expect("it is installed"));
    let mut order = String::new();
    for module in modules {
        archive.file(&format!("modules/{}.ko", module.name), 0o644, &module.object);
        order.push_str(&module.name);
        order.push('\n');
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    archive.finish()
}

#[test]
fn debians_kernel_has_what_a_guest_needs_and_starts_without_a_boot_loader() {
    let package = match testkit::kernel::Kernel::fetch() {
        Ok(fetched) => fetched.package(),
        Err(why) => return report::line("guest", &format!("skipped the kernel of guests: {why}")),
    };
    let kernel = Kernel::read(&package).expect("a kernel for guests");
    let dir = tempfile::Builder::new().prefix("dormouse-test-").tempdir().expect("a directory");
    let place = |name: &str| dir.path().join(name);
    std::fs::write(place("vmlinux"), &kernel.vmlinux).expect("ours");
    std::fs::write(place("initramfs"), archive(&kernel.modules)).expect("ours");
    let console = place("console");
    let guest = Guest::boot(&place("vmlinux"), &place("initramfs"), "", &console).expect("QEMU");
    let said = guest.wait(PATIENCE, &console);
    let lines: Vec<&str> = said.lines().collect();
    for word in [kernel.release.as_str(), "ext4", "erofs", "overlay"] {
        assert!(lines.iter().any(|line| line.ends_with(word)), "no `{word}`:\n{said}");
    }
}
