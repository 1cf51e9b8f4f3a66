//! The commands, as a real QEMU takes them.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vmm::qmp::{BlockNode, Capability, FdSet, Migration, Qmp, QmpError, RunState, Swap};

const QEMU: &str = "qemu-system-x86_64";

/// RAM of each guest, in bytes: no guest runs more than its firmware here.
const RAM_BYTES: u64 = 32 << 20;

/// Long enough for everything here.
const PATIENCE: Duration = Duration::from_secs(30);

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// What is behind the disk at first: nothing.
const NOTHING: &str = "driver=null-co,node-name=nothing,size=1048576";

/// A QEMU with a disk and RAM in a file. It ends with this.
struct Machine {
    process: Child,
    qmp: Qmp,
}

impl Machine {
    /// Starts one with `ram` that is `shared` with the file or private.
    fn start(ram: &Path, is_shared: bool, more: &[&str]) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let shared = if is_shared { "on" } else { "off" };
        let ram = format!(
            "memory-backend-file,id=ram,size={RAM_BYTES},mem-path={},share={shared}",
            ram.display()
        );
        let process = Command::new(QEMU)
            .args(["-machine", "microvm,acpi=on,memory-backend=ram", "-accel", "tcg"])
            .args(["-m", &format!("{}M", RAM_BYTES >> 20), "-object", &ram])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-S"])
            .args(["-chardev", "socket,id=monitor,fd=0", "-mon", "chardev=monitor,mode=control"])
            .args(["-blockdev", NOTHING, "-blockdev", "driver=raw,node-name=disk,file=nothing"])
            .args(["-device", "virtio-blk-device,drive=disk"])
            .args(more)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("QEMU is installed");
        Self { process, qmp: Qmp::connect(ours, soon()).expect("QEMU answers") }
    }

    /// Waits until the saving or loading is done.
    #[track_caller]
    fn wait_for_migration(&mut self) {
        let is_last = |status: &str| matches!(status, "completed" | "failed" | "cancelled");
        loop {
            let event = self.qmp.wait_for("MIGRATION", soon()).expect("it is under way");
            if is_last(event.data["status"].as_str().expect("a status")) {
                break;
            }
        }
        let end = self.qmp.migration(soon()).expect("answered");
        assert_eq!(end, Migration::Completed);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn file(dir: &TempDir, name: &str, size_bytes: u64) -> (PathBuf, File) {
    let path = dir.path().join(name);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.expect("the directory is ours");
    file.set_len(size_bytes).expect("a sparse file");
    (path, file)
}

#[test]
fn a_guest_is_stopped_and_let_run_and_its_end_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ram, _) = file(&dir, "ram", RAM_BYTES);
    let mut machine = Machine::start(&ram, false, &[]);
    let qmp = &mut machine.qmp;
    assert!(qmp.version().major >= 7, "{:?}", qmp.version());
    assert_eq!(qmp.status(soon()).expect("answered"), RunState::Paused);
    qmp.cont(soon()).expect("it runs");
    assert_eq!(qmp.status(soon()).expect("answered"), RunState::Running);
    qmp.stop(soon()).expect("it stops");
    assert_eq!(qmp.status(soon()).expect("answered"), RunState::Paused);
    qmp.wait_for("RESUME", soon()).expect("told");
    qmp.wait_for("STOP", soon()).expect("told");
    qmp.quit(soon()).expect("it ends");
    qmp.wait_for("SHUTDOWN", soon()).expect("told");
    let end = loop {
        match qmp.next_event() {
            Ok(None) => wait_until_readable(qmp),
            Ok(Some(_)) => {}
            Err(end) => break end,
        }
    };
    assert!(matches!(end, QmpError::Closed), "{end:?}");
    assert!(machine.process.wait().expect("our own child").success());
}

fn wait_until_readable(qmp: &Qmp) {
    let timeout = Timespec::try_from(PATIENCE).expect("seconds");
    poll(&mut [PollFd::new(qmp, PollFlags::IN)], Some(&timeout)).expect("a socket");
}

#[test]
fn what_qemu_does_not_know_is_refused_in_its_words() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ram, _) = file(&dir, "ram", RAM_BYTES);
    let mut machine = Machine::start(&ram, false, &[]);
    let nobody = BlockNode("nobody".to_owned());
    let error = machine.qmp.resize(&nobody, 1 << 20, soon()).expect_err("there is none");
    assert!(matches!(error, QmpError::Refused { command: "block_resize", .. }), "{error:?}");
    assert!(error.to_string().contains("nobody"), "{error}");
    // The session goes on.
    assert_eq!(machine.qmp.status(soon()).expect("answered"), RunState::Paused);
}

#[test]
fn the_file_behind_a_disk_is_swapped_while_the_guest_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ram, _) = file(&dir, "ram", RAM_BYTES);
    let ((path, one), (_, other)) = (file(&dir, "one", 1 << 20), file(&dir, "other", 1 << 20));
    let mut machine = Machine::start(&ram, false, &[]);
    let qmp = &mut machine.qmp;
    let node = |name: &str| BlockNode(name.to_owned());
    let swap_to = |file| [Swap { raw: node("disk"), file: node(file), is_read_only: false }];
    qmp.cont(soon()).expect("it runs");
    qmp.add_fd(FdSet(1), one.as_fd(), soon()).expect("handed over");
    qmp.add_file_node(&node("one"), FdSet(1), false, soon()).expect("a node");
    qmp.swap_files(&swap_to("one"), soon()).expect("swapped");
    // It is that file which grows, as the guest sees it.
    qmp.resize(&node("disk"), 3 << 20, soon()).expect("resized");
    assert_eq!(fs::metadata(path).expect("there").len(), 3 << 20);
    qmp.add_fd(FdSet(2), other.as_fd(), soon()).expect("handed over");
    qmp.add_file_node(&node("other"), FdSet(2), false, soon()).expect("a node");
    let used = qmp.remove_node(&node("one"), soon());
    assert!(matches!(used, Err(QmpError::Refused { .. })), "{used:?}");
    qmp.swap_files(&swap_to("other"), soon()).expect("swapped");
    qmp.remove_node(&node("one"), soon()).expect("nothing uses it");
    qmp.remove_fd(FdSet(1), soon()).expect("nothing has it open");
    let gone = qmp.swap_files(&swap_to("one"), soon());
    assert!(matches!(gone, Err(QmpError::Refused { .. })), "{gone:?}");
}

/// RAM stays in its file; what is saved beside it are the devices.
#[test]
fn a_guest_saved_without_its_ram_goes_on_in_another_qemu() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ram, _) = file(&dir, "ram", RAM_BYTES);
    let state: OwnedFd = memfd_create("state", MemfdFlags::CLOEXEC).expect("a file in RAM");
    let capabilities = [Capability::XIgnoreShared, Capability::Events];
    let mut first = Machine::start(&ram, true, &[]);
    first.qmp.cont(soon()).expect("it runs");
    first.qmp.stop(soon()).expect("it stops");
    first.qmp.set_capabilities(&capabilities, soon()).expect("known");
    first.qmp.getfd("state", state.as_fd(), soon()).expect("handed over");
    first.qmp.save_to("state", soon()).expect("it begins");
    first.wait_for_migration();
    drop(first);
    let saved = rustix::fs::fstat(&state).expect("a file").st_size;
    assert!((1..4 << 20).contains(&saved), "{saved} bytes are less than its RAM");
    seek(&state, SeekFrom::Start(0)).expect("a file");

    let mut second = Machine::start(&ram, true, &["-incoming", "defer"]);
    assert_eq!(second.qmp.status(soon()).expect("answered"), RunState::Incoming);
    second.qmp.set_capabilities(&capabilities, soon()).expect("known");
    second.qmp.getfd("state", state.as_fd(), soon()).expect("handed over");
    second.qmp.load_from("state", soon()).expect("it begins");
    second.wait_for_migration();
    assert_eq!(second.qmp.status(soon()).expect("answered"), RunState::Paused);
    second.qmp.cont(soon()).expect("it runs");
    assert_eq!(second.qmp.status(soon()).expect("answered"), RunState::Running);
}

#[test]
fn a_broken_state_is_a_failure_that_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ram, _) = file(&dir, "ram", RAM_BYTES);
    let (path, state) = file(&dir, "state", 0);
    fs::write(path, "this is no state").expect("written");
    let mut machine = Machine::start(&ram, false, &["-incoming", "defer"]);
    let qmp = &mut machine.qmp;
    qmp.set_capabilities(&[Capability::Events], soon()).expect("known");
    qmp.getfd("state", state.as_fd(), soon()).expect("handed over");
    qmp.load_from("state", soon()).expect("it begins");
    // QEMU 7.2 ends over it.
    while qmp.wait_for("MIGRATION", soon()).is_ok_and(|event| event.data["status"] != "failed") {}
    assert!(!machine.process.wait().expect("our own child").success());
}

#[test]
fn the_state_of_devices_alone_is_saved_while_the_guest_is_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let (ram, _) = file(&dir, "ram", RAM_BYTES);
    let (path, _) = file(&dir, "state", 0);
    let state = OpenOptions::new().write(true).open(path).expect("just made");
    let mut machine = Machine::start(&ram, true, &[]);
    let qmp = &mut machine.qmp;
    qmp.cont(soon()).expect("it runs");
    qmp.stop(soon()).expect("it stops");
    qmp.add_fd(FdSet(3), state.as_fd(), soon()).expect("handed over");
    qmp.save_devices(FdSet(3), soon()).expect("saved");
    let saved = state.metadata().expect("there").len();
    assert!((1..1 << 20).contains(&saved), "{saved} bytes");
    qmp.cont(soon()).expect("it goes on");
    assert_eq!(qmp.status(soon()).expect("answered"), RunState::Running);
}
