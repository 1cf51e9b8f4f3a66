//! Disks on real loop devices, each in a mount namespace of its own.

use crate::common::{Bench, digest, machine};
use disk::{AttachKind, DiskError, DiskLock, LoopMode, attach_loop, mend, mount_ext4};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time for the kernel to unmount and detach after the last user of a namespace is gone.
const DETACH_MAX: Duration = Duration::from_secs(10);

const ROLE: &str = "DISK_TEST_HOLD";

/// Runs `work` on a thread in a mount namespace of its own; its mounts end with it.
pub(crate) fn in_own_mount_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let own = scope.spawn(|| {
            leave_mount_namespace();
            work()
        });
        own.join().expect("the work in the namespace succeeds")
    })
}

fn leave_mount_namespace() {
    // SAFETY: only the mount namespace and the working directory of this thread are unshared, no
    // descriptor table.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.expect("tests run as root");
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", slave).expect("propagation can be changed");
}

/// Locks, attaches and mounts the disk, runs `work` at the mount point, then unmounts.
fn with_mounted(bench: &Bench, mode: LoopMode, work: impl FnOnce(&Path) + Send) {
    in_own_mount_namespace(|| {
        let held = bench.store.lock(&machine(1), AttachKind::HostFs, DETACH_MAX).unwrap();
        let device = attach_loop(held.file(), mode).unwrap();
        let target = bench.data.path().join("mnt");
        std::fs::create_dir_all(&target).unwrap();
        mount_ext4(&device, &target).unwrap();
        drop(device);
        work(&target);
        unmount(&target, UnmountFlags::empty()).unwrap();
    });
}

/// Whether any loop device of the host is backed by a file below `dir`.
fn is_attached_below(dir: &Path) -> bool {
    let devices = std::fs::read_dir("/sys/block").unwrap();
    devices
        .filter_map(|device| {
            std::fs::read_to_string(device.ok()?.path().join("loop/backing_file")).ok()
        })
        .any(|file| file.starts_with(dir.to_str().unwrap()))
}

#[test]
fn contents_live_through_detach_and_attach() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    for (mode, round) in [(LoopMode::Buffered, 0), (LoopMode::Direct, 1), (LoopMode::Buffered, 2)] {
        with_mounted(&bench, mode, |mnt| {
            for earlier in 0..round {
                let text = std::fs::read_to_string(mnt.join(format!("round{earlier}"))).unwrap();
                assert_eq!(text, format!("written in round {earlier}"));
            }
            let text = format!("written in round {round}");
            std::fs::write(mnt.join(format!("round{round}")), text).unwrap();
        });
    }
}

#[test]
fn mount_is_noatime_and_discards() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    with_mounted(&bench, LoopMode::Buffered, |mnt| {
        let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
        let line = mounts.lines().find(|line| line.contains(mnt.to_str().unwrap())).unwrap();
        for option in ["noatime", "discard", "nosuid", "nodev"] {
            assert!(line.contains(option), "{option} is missing in {line}");
        }
        let before = bench.store.usage(&machine(1)).unwrap();
        let file = mnt.join("big");
        std::fs::write(&file, vec![7; 8 << 20]).unwrap();
        rustix::fs::syncfs(std::fs::File::open(mnt).unwrap()).unwrap();
        assert!(bench.store.usage(&machine(1)).unwrap() >= before + (8 << 20));
        std::fs::remove_file(&file).unwrap();
        rustix::fs::syncfs(std::fs::File::open(mnt).unwrap()).unwrap();
    });
    let usage = bench.store.usage(&machine(1)).unwrap();
    assert!(usage < 6 << 20, "deleted blocks came back, {usage} bytes are left");
}

/// The victim: mounts the disk named by the environment in its own namespace and waits for ever.
///
/// Only does anything when this binary was started by [`Holder::start`].
#[test]
fn hold() {
    let Some(disk) = std::env::var_os(ROLE) else { return };
    leave_mount_namespace();
    let held = DiskLock::acquire(Path::new(&disk), AttachKind::HostFs, Duration::ZERO).unwrap();
    let device = attach_loop(held.file(), LoopMode::Buffered).unwrap();
    mount_ext4(&device, Path::new("/mnt")).unwrap();
    std::fs::write("/mnt/from-holder", "still here").unwrap();
    rustix::fs::syncfs(std::fs::File::open("/mnt").unwrap()).unwrap();
    println!("\nholding");
    std::thread::park();
}

struct Holder(Child);

impl Holder {
    fn start(disk: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("it has a path"))
            .args(["--exact", "attach::hold", "--nocapture"])
            .env(ROLE, disk)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test binary starts");
        let said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let is_holding = said.map_while(Result::ok).any(|line| line == "holding");
        let holder = Self(child);
        assert!(is_holding, "the holder got the disk");
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().expect("it is our child");
        self.0.wait().expect("it is our child");
    }
}

#[test]
fn kill_of_the_holder_detaches_and_frees_the_lock() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    let holder = Holder::start(&bench.store.disk_path(&machine(1)));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(is_attached_below(bench.data.path()));
    assert!(!mounts.contains(" /mnt "), "the host's own table stays clean");
    let refused = bench.store.lock(&machine(1), AttachKind::HostFs, Duration::ZERO).unwrap_err();
    assert!(matches!(refused, DiskError::InUse { .. }), "{refused}");
    drop(holder);

    with_mounted(&bench, LoopMode::Buffered, |mnt| {
        let text = std::fs::read_to_string(mnt.join("from-holder")).unwrap();
        assert_eq!(text, "still here");
    });
    let deadline = Instant::now() + DETACH_MAX;
    while is_attached_below(bench.data.path()) {
        assert!(Instant::now() < deadline, "the loop device stays attached");
        std::thread::yield_now();
    }
}

#[test]
fn disk_stays_locked_while_a_device_uses_it() {
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    let held = bench.store.lock(&machine(1), AttachKind::HostFs, Duration::ZERO).unwrap();
    let device = attach_loop(held.file(), LoopMode::Buffered).unwrap();
    drop(held);
    let refused = bench.store.lock(&machine(1), AttachKind::HostFs, Duration::ZERO).unwrap_err();
    assert!(matches!(refused, DiskError::InUse { .. }), "{refused}");
    drop(device);
    bench.store.lock(&machine(1), AttachKind::HostFs, DETACH_MAX).unwrap();
}

/// Where ext4 says in what state it is. Source: the kernel's ext4 documentation, "Super Block".
const STATE_AT: u64 = 1024 + 0x3A;
const HAS_ERRORS: u16 = 0x0002;

#[test]
fn a_disk_marked_as_damaged_is_repaired_and_keeps_its_files() {
    use std::os::unix::fs::FileExt as _;
    let bench = Bench::new();
    bench.store.create(&machine(1), 1, &digest(1)).unwrap();
    with_mounted(&bench, LoopMode::Direct, |target| {
        std::fs::write(target.join("kept"), "kept").unwrap();
    });
    let held = bench.store.lock(&machine(1), AttachKind::HostFs, DETACH_MAX).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(held.path()).unwrap();
    let state = || {
        let mut bytes = [0; 2];
        file.read_exact_at(&mut bytes, STATE_AT).unwrap();
        u16::from_le_bytes(bytes)
    };
    let whole = state();
    mend(&held).unwrap();
    assert_eq!(state(), whole);
    file.write_all_at(&(whole | HAS_ERRORS).to_le_bytes(), STATE_AT).unwrap();
    mend(&held).unwrap();
    assert_eq!(state(), whole);
    drop((held, file));
    with_mounted(&bench, LoopMode::Direct, |target| {
        assert_eq!(std::fs::read_to_string(target.join("kept")).unwrap(), "kept");
    });
}
