//! What QEMU is told when it is started.
//!
//! Two purposes make the same machine: one boots a kernel, to become a template; one takes up what was
//! saved. Whatever differs between the two but the files behind RAM and disks makes QEMU refuse what was
//! saved, or worse.
//!
//! Nothing is opened by a path of the host but QEMU's own firmware: all files and sockets are descriptors
//! with fixed numbers ([`fd`]).
//!
//! Source: `qemu-system-x86_64(1)`, version 7.2.

use crate::qmp::{BlockNode, FdSet};
use shim_proto::shape::{Accel, Shape};

/// Numbers of the descriptors that QEMU is given.
pub mod fd {
    /// Socket of its monitor.
    pub const MONITOR: i32 = 3;
    /// Socket of the guest init's channel.
    pub const CHANNEL: i32 = 4;
    /// The file that is the guest's RAM.
    pub const RAM: i32 = 5;
    /// The kernel, when it boots one.
    pub const KERNEL: i32 = 6;
    /// The file system that the kernel boots from.
    pub const INITRAMFS: i32 = 7;
    /// The machine's image, when it takes up what was saved; open to read.
    pub const IMAGE: i32 = 6;
    /// The machine's disk, open for both.
    pub const DISK: i32 = 7;
    /// The machine's link, a tap; only when it has one.
    pub const LINK: i32 = 8;
}

/// Volumes that a machine may have. What has none keeps a placeholder.
const N_VOLUMES: usize = 1;

/// Name of the channel as the guest sees it. Its first port is number 1: `/dev/vport0p1`.
const CHANNEL_NAME: &str = "dormouse.control";

/// Address of every guest's link: each is alone with the router on its own.
const GUEST_MAC: &str = "02:64:6d:00:00:02";

/// Size in bytes that a template knows of its image and volumes. A guest reads only what the file
/// systems on them have.
pub(crate) const PLACEHOLDER_BYTES: u64 = 1 << 40;

/// RAM in MiB for translated code. A guest that needs more has some of it translated again.
pub const TRANSLATED_CODE_MIB: u32 = 64;

/// What QEMU itself takes, in bytes, beside the guest's RAM and translated code. Source: measured 35 to
/// 40 MB for an idle guest; disks in use need room for requests under way.
pub const OWN_BYTES_MAX: u64 = 96 << 20;

/// Ticks of the timer in a second, as Debian's kernels have them.
const JIFFIES_PER_S: u64 = 250;

/// Those that work without a policy.
const SECURITY_MODULES: &str = "landlock,lockdown,yama";

/// Bytes of the guest's console that are kept: a panic of the kernel has about 4 KiB.
const CONSOLE_BYTES: u32 = 64 << 10;

/// What a QEMU is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Boots a kernel in RAM that becomes a template.
    Boot {
        /// Rate of the processor's time stamp counter in kHz, where it is emulated.
        tsc_khz: u32,
    },
    /// Takes up what was saved.
    TakeUp {
        /// There is a link.
        has_link: bool,
        /// The RAM file is nobody else's; any other it cannot change.
        owns_ram: bool,
    },
}

/// A disk of the guest whose file can be another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drive {
    /// The machine's image, read-only.
    Image,
    /// The machine's disk.
    Disk,
}

impl Drive {
    /// Whether the guest can only read it.
    #[must_use]
    pub const fn is_read_only(self) -> bool {
        matches!(self, Self::Image)
    }

    /// The node that the guest has.
    #[must_use]
    pub fn node(self) -> BlockNode {
        BlockNode(self.name().to_owned())
    }

    /// The node below it: the first file that it has, or the one put in its place.
    #[must_use]
    pub fn file_node(self, is_first: bool) -> BlockNode {
        BlockNode(file_node(self.name(), is_first))
    }

    /// The set with the descriptor of such a file. QEMU is started with those of the first.
    #[must_use]
    pub const fn fd_set(self, is_first: bool) -> FdSet {
        let fd = match self {
            Self::Image => fd::IMAGE,
            Self::Disk => fd::DISK,
        };
        FdSet(fd.unsigned_abs() + if is_first { 0 } else { NEW_FILES })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Disk => "disk",
        }
    }
}

/// The node of a file behind the disk with this name. Short: QEMU takes its time for each byte.
fn file_node(disk: &str, is_first: bool) -> String {
    format!("{disk}-{}", u8::from(!is_first))
}

/// Added to the number of a set for a file that is put in the place of the first.
const NEW_FILES: u32 = 16;

/// The words behind the program's name.
#[must_use]
pub fn arguments(shape: &Shape, purpose: Purpose) -> Vec<String> {
    let mut words = Words::default();
    words.option("-machine", "microvm,acpi=on,rtc=on,isa-serial=on,memory-backend=ram");
    words.option("-accel", &accelerator(shape));
    // Everything the emulator knows, the same on every host; or all that the host has.
    words.option("-cpu", if shape.accel == Accel::Kvm { "host" } else { "max" });
    words.option("-smp", &shape.n_cpus.to_string());
    words.option("-m", &format!("{}M", shape.ram_mib));
    words.option("-object", &ram(shape, purpose));
    words.all(&["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-S"]);
    // What it never needs it cannot be made to do.
    words.option(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    // What is loaded without its configuration of machines: the state of devices alone has none.
    words.option("-global", "migration.send-configuration=off");
    words.option("-chardev", &format!("socket,id=monitor,fd={}", fd::MONITOR));
    words.option("-mon", "chardev=monitor,mode=control");
    words.option("-chardev", &format!("ringbuf,id=console,size={CONSOLE_BYTES}"));
    words.option("-serial", "chardev:console");
    words.option("-chardev", &format!("socket,id=channel,fd={}", fd::CHANNEL));
    words.option("-device", "virtio-serial-device,max_ports=2");
    words.option("-device", &format!("virtserialport,chardev=channel,name={CHANNEL_NAME},nr=1"));
    disks(&mut words, purpose);
    link(&mut words, purpose);
    words.option("-object", "rng-builtin,id=randomness");
    words.option("-device", "virtio-rng-device,rng=randomness");
    match purpose {
        Purpose::Boot { tsc_khz } => {
            words.option("-kernel", &format!("/proc/self/fd/{}", fd::KERNEL));
            words.option("-initrd", &format!("/proc/self/fd/{}", fd::INITRAMFS));
            words.option("-append", &kernel_words(shape.accel, tsc_khz));
        }
        Purpose::TakeUp { .. } => words.option("-incoming", "defer"),
    }
    words.0
}

/// What a guest's kernel is told; what stands behind `--` is for its first process.
///
/// An emulated processor's kernel would measure its clocks against a timer that QEMU keeps waiting on a
/// busy host, for ever; so it is told how fast they run ([`crate::tsc`]), and that they can be relied on:
/// else each that comes from a template would watch them for a second or two first, ticking, with no timer
/// finer than a tick. Nor does an emulated processor run ahead of itself in
/// the ways that the kernel's mitigations are about.
///
/// Nobody loads a policy for security modules in a guest, so those that need one are left out: each has a
/// word in every system call. A processor that has to wait for the host has not locked up.
fn kernel_words(accel: Accel, tsc_khz: u32) -> String {
    let clocks = match accel {
        Accel::Kvm => String::new(),
        Accel::Tcg => {
            // Ticks of the counter between two of the timer, by which the kernel waits for moments.
            let per_jiffy = u64::from(tsc_khz) * 1000 / JIFFIES_PER_S;
            format!(
                "tsc_early_khz={tsc_khz} lpj={per_jiffy} tsc=reliable no_timer_check mitigations=off "
            )
        }
    };
    format!(
        "console=ttyS0 loglevel=1 panic=-1 reboot=t lsm={SECURITY_MODULES} nowatchdog {clocks}-- machine"
    )
}

fn accelerator(shape: &Shape) -> String {
    match shape.accel {
        Accel::Kvm => "kvm".to_owned(),
        Accel::Tcg => format!("tcg,thread=multi,tb-size={TRANSLATED_CODE_MIB}"),
    }
}

fn ram(shape: &Shape, purpose: Purpose) -> String {
    let share = match purpose {
        Purpose::Boot { .. } | Purpose::TakeUp { owns_ram: true, .. } => "on",
        Purpose::TakeUp { owns_ram: false, .. } => "off",
    };
    format!(
        "memory-backend-file,id=ram,size={}M,mem-path=/proc/self/fd/{},share={share}",
        shape.ram_mib,
        fd::RAM
    )
}

/// Image, disk and volumes. A template has nothing behind them.
fn disks(words: &mut Words, purpose: Purpose) {
    let is_whole = matches!(purpose, Purpose::TakeUp { .. });
    for drive in [Drive::Image, Drive::Disk] {
        if is_whole {
            file(words, drive);
        } else {
            nothing(words, &drive.file_node(true).0);
        }
    }
    for drive in [Drive::Image, Drive::Disk] {
        disk(words, drive.name(), drive.is_read_only());
    }
    for n in 0..N_VOLUMES {
        let volume = format!("volume{n}");
        nothing(words, &file_node(&volume, true));
        disk(words, &volume, false);
    }
}

/// The first file behind a disk.
fn file(words: &mut Words, drive: Drive) {
    let (set, node) = (drive.fd_set(true), drive.file_node(true).0);
    words.option("-add-fd", &format!("fd={0},set={0}", set.0));
    let mode = if drive.is_read_only() { "read-only=on" } else { "discard=unmap" };
    words.option(
        "-blockdev",
        &format!(
            "driver=file,node-name={node},filename={},locking=off,auto-read-only=off,{mode}",
            set.path()
        ),
    );
}

/// Nothing behind a disk: it reads as zeros, and what is written is gone.
fn nothing(words: &mut Words, node: &str) {
    let options =
        format!("driver=null-co,node-name={node},size={PLACEHOLDER_BYTES},read-zeroes=on");
    words.option("-blockdev", &options);
}

fn disk(words: &mut Words, node: &str, is_read_only: bool) {
    let mode = if is_read_only { "read-only=on" } else { "discard=unmap" };
    let file = file_node(node, true);
    words.option("-blockdev", &format!("driver=raw,node-name={node},file={file},{mode}"));
    words.option("-device", &format!("virtio-blk-device,drive={node}"));
}

/// The link. Without a tap it leads nowhere.
fn link(words: &mut Words, purpose: Purpose) {
    let netdev = match purpose {
        Purpose::TakeUp { has_link: true, .. } => format!("tap,id=link,fd={}", fd::LINK),
        Purpose::TakeUp { has_link: false, .. } | Purpose::Boot { .. } => {
            "hubport,id=link,hubid=0".to_owned()
        }
    };
    words.option("-netdev", &netdev);
    words.option(
        "-device",
        &format!("virtio-net-device,netdev=link,guest_announce=off,mac={GUEST_MAC}"),
    );
}

#[derive(Debug, Default)]
struct Words(Vec<String>);

impl Words {
    fn option(&mut self, name: &str, value: &str) {
        self.all(&[name, value]);
    }

    fn all(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Purpose = Purpose::Boot { tsc_khz: 2_600_000 };
    const SHAPE: Shape = Shape { ram_mib: 256, n_cpus: 1, accel: Accel::Tcg };

    /// The devices, in their order: QEMU finds what was saved by it.
    fn devices(purpose: Purpose) -> Vec<String> {
        let words = arguments(&SHAPE, purpose);
        let is_device = |pair: &&[String]| pair[0] == "-device" || pair[0] == "-serial";
        words.windows(2).filter(is_device).map(|pair| pair[1].clone()).collect()
    }

    #[test]
    fn what_takes_up_has_the_devices_of_what_was_saved() {
        let saved = devices(BOOT);
        assert_eq!(saved.len(), 8, "{saved:?}");
        for has_link in [false, true] {
            assert_eq!(devices(Purpose::TakeUp { has_link, owns_ram: false }), saved);
        }
    }

    #[test]
    fn only_ram_of_its_own_may_be_written_to() {
        let has = |purpose, word: &str| {
            arguments(&SHAPE, purpose).iter().any(|words| words.contains(word))
        };
        let take_up = |owns_ram| Purpose::TakeUp { has_link: false, owns_ram };
        for purpose in [BOOT, take_up(true)] {
            assert!(has(purpose, "share=on") && !has(purpose, "share=off"));
        }
        assert!(has(take_up(false), "share=off") && !has(take_up(false), "share=on"));
    }

    #[test]
    fn only_an_emulated_processor_is_told_its_clock() {
        let words = kernel_words(Accel::Tcg, 2_600_000);
        assert!(words.contains("tsc_early_khz=2600000 lpj=10400000 "), "{words}");
        assert!(!kernel_words(Accel::Kvm, 0).contains("tsc_early_khz"));
        for accel in [Accel::Kvm, Accel::Tcg] {
            assert!(kernel_words(accel, 1).ends_with(" -- machine"));
        }
    }
}
