//! Mounting, unmounting, becoming the root of something else.

use crate::attempt;
use tests::attempt::How::{Call, Sh};
use tests::attempt::{Attempt, DENIED, NOT_PERMITTED, Outside};

const fn row(name: &'static str, script: &'static str) -> Attempt {
    Attempt { name, how: Sh(script), says: &[NOT_PERMITTED, DENIED], outside: Outside::Mounts }
}

const fn call(name: &'static str, number: i64, arguments: &'static [i64]) -> Attempt {
    let how = Call(number, arguments);
    Attempt { name, how, says: &[NOT_PERMITTED], outside: Outside::Mounts }
}

const ATTEMPTS: &[Attempt] = &[
    row("mount a proc", "mount -t proc proc /tmp"),
    row("mount a sysfs", "mount -t sysfs sysfs /tmp"),
    row("mount a tmpfs", "mount -t tmpfs tmpfs /tmp"),
    row("mount a devtmpfs", "mount -t devtmpfs devtmpfs /tmp"),
    row("mount debugfs", "mount -t debugfs debugfs /sys/kernel/debug"),
    row("mount binfmt_misc", "mount -t binfmt_misc none /tmp"),
    row("mount an overlay over /proc", "mount -t overlay -o lowerdir=/bin:/etc overlay /proc"),
    row("bind the root", "mount --bind / /tmp"),
    row("bind /proc over itself", "mount --bind /proc /proc"),
    row("make /proc/sys writable", "mount -o remount,bind,rw /proc/sys"),
    row("make /sys writable", "mount -o remount,rw /sys"),
    row("make the root accept devices", "mount -o remount,dev /"),
    row("share mounts with the host", "mount --make-rshared /"),
    row("mount a v1 cgroup hierarchy", "mount -t cgroup -o memory cgroup /tmp"),
    row("mount a v1 cgroup hierarchy of its own", "mount -t cgroup -o none,name=out c /tmp"),
    row("mount the v2 cgroup tree", "mount -t cgroup2 none /sys/fs/cgroup"),
    row("uncover /proc/keys", "umount /proc/keys"),
    row("uncover /proc/sys", "umount -l /proc/sys"),
    row("uncover /sys/firmware", "umount /sys/firmware"),
    row("uncover what lies below /dev", "umount -l /dev"),
    row("uncover what lies below the root", "umount -l /"),
    row(
        "swap to a file",
        "dd if=/dev/zero of=/tmp/swap bs=64k count=16 2>/dev/null; mkswap /tmp/swap >/dev/null; swapon /tmp/swap",
    ),
    call("mount(2)", libc::SYS_mount, &[]),
    call("umount2(2)", libc::SYS_umount2, &[]),
    call("pivot_root(2)", libc::SYS_pivot_root, &[]),
    call("open_tree(2), cloning", libc::SYS_open_tree, &[-100, 0, 1]),
    call("move_mount(2)", libc::SYS_move_mount, &[]),
    call("fsopen(2)", libc::SYS_fsopen, &[]),
    call("fsmount(2)", libc::SYS_fsmount, &[]),
    call("fspick(2)", libc::SYS_fspick, &[-100]),
    call("mount_setattr(2)", libc::SYS_mount_setattr, &[-100]),
    call("listmount(2)", 458, &[]),
    call("statmount(2)", 457, &[]),
];

#[test]
fn no_file_system_is_mounted_or_unmounted() {
    attempt("mounts", ATTEMPTS);
}
