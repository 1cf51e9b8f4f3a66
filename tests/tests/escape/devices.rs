//! Device nodes, and the devices behind them.

use crate::attempt;
use tests::attempt::How::Sh;
use tests::attempt::{ABSENT, Attempt, DENIED, NOT_PERMITTED, Outside, SILENT};

const fn row(name: &'static str, script: &'static str, says: &'static [&'static str]) -> Attempt {
    Attempt { name, how: Sh(script), says, outside: Outside::Canary }
}

const ATTEMPTS: &[Attempt] = &[
    row("make a disk", "mknod /tmp/sda b 8 0", &[NOT_PERMITTED]),
    row("make the host's disk", "mknod /tmp/vda b 254 0", &[NOT_PERMITTED]),
    row("make a loop device", "mknod /tmp/loop0 b 7 0", &[NOT_PERMITTED]),
    row("make loop-control", "mknod /tmp/loop-control c 10 237", &[NOT_PERMITTED]),
    row("make mem", "mknod /tmp/mem c 1 1", &[NOT_PERMITTED]),
    row("make kmsg", "mknod /tmp/kmsg c 1 11", &[NOT_PERMITTED]),
    row("make fuse in /dev", "mknod /dev/fuse c 10 229", &[NOT_PERMITTED, DENIED]),
    row("make a disk in /dev/shm", "mknod /dev/shm/sda b 8 0", &[NOT_PERMITTED]),
    row("open mem", "cat /dev/mem", &[ABSENT]),
    row("open kmsg", "cat /dev/kmsg", &[ABSENT]),
    row("open port", "cat /dev/port", &[ABSENT]),
    row("open kvm", "cat /dev/kvm", &[ABSENT]),
    row("open fuse", "cat /dev/fuse", &[ABSENT]),
    row("open tun", "cat /dev/net/tun", &[ABSENT]),
    row("open loop-control", "cat /dev/loop-control", &[ABSENT]),
    row(
        "attach a loop device",
        "touch /tmp/f; losetup /dev/loop0 /tmp/f",
        &[ABSENT, DENIED, "loop0"],
    ),
    row("find a block device", "find / -xdev -type b | grep .", &[SILENT]),
    row("find a block device in /dev", "find /dev -type b | grep .", &[SILENT]),
    row(
        "find a character device that is not of the guest",
        "find /dev -type c ! -name null ! -name zero ! -name full ! -name random ! -name urandom \
         ! -name tty ! -path '/dev/pts/*' ! -name console | grep .",
        &[SILENT],
    ),
];

#[test]
fn no_device_of_the_host_is_reached() {
    attempt("devices", ATTEMPTS);
}
