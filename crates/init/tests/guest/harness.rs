//! A virtual machine around the real init: its kernel, its disks, and the host's end of the channel.

use disk::DiskStore;
use guest_proto::message::{Ended, Furnishing};
use guest_proto::{
    Channel, Decoder, FrameKind, FromGuest, Orders, StreamId, ToGuest, VERSION, VERSION_MIN,
    encode_message,
};
use model::ids::{Digest, MachineId};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::{place, wait};
use vmm::guest_image::{self, Tool};
use vmm::kernel::Kernel;
use vmm::qmp::{BlockNode, Capability, Migration, Qmp};

/// Nothing that a test waits for takes longer: a guest boots in 3 s with a core of its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Guests at a time: as many as the smallest host has cores.
const GUESTS_MAX: usize = 2;

/// Size of a disk.
pub(crate) const DISK_BYTES: u64 = 1 << 30;

/// An emulated clock is not measured but believed: a guest with ACPI would measure for ever.
const KERNEL_WORDS: &str = "console=ttyS0 loglevel=1 panic=-1 reboot=t tsc_early_khz=2000000 \
                            lpj=4000000 no_timer_check -- machine";

/// The RAM is the one in the file.
const SAVED_RAM: &str = "memory-backend=ram";

/// RAM stays in its file.
const SAVES: [Capability; 2] = [Capability::XIgnoreShared, Capability::Events];

/// What all guests boot from.
static KERNEL: LazyLock<Result<Kernel, String>> = LazyLock::new(|| {
    let package = testkit::kernel::Kernel::fetch()?.package();
    Kernel::read(&package).map_err(|error| error.to_string())
});

/// Files of a guest that outlive its runs.
pub(crate) struct House {
    dir: TempDir,
    store: DiskStore,
    machine: MachineId,
}

/// A guest that was saved while it waited: its RAM and the rest.
pub(crate) struct Saved {
    ram: PathBuf,
    state: PathBuf,
}

/// A run of a guest. It ends with this.
pub(crate) struct Guest {
    process: Child,
    channel: UnixStream,
    decoder: Decoder,
    pub(crate) epoch: u32,
    news: VecDeque<FromGuest>,
    qmp_path: PathBuf,
    console: PathBuf,
    pub(crate) began: Instant,
    /// The time that the guest was told, and when: it asks again until an answer comes fast enough.
    told: Option<(Duration, Instant)>,
    /// Output of the program, and of commands.
    output: Vec<u8>,
    /// Lets the next one begin.
    _turn: File,
}

impl House {
    /// One with an image and an empty disk; `None`, and a line that says why, where there is no kernel.
    pub(crate) fn new() -> Option<Self> {
        if let Err(why) = &*KERNEL {
            testkit::report::line("guest", &format!("skipped init in guests: {why}"));
            return None;
        }
        let dir = TempDir::with_prefix("dormouse-guest-").expect("a temporary directory");
        let _image = place::make_image(dir.path(), dress);
        let store = DiskStore::open(dir.path()).expect("a store of disks");
        let machine = MachineId::from_random([7; 7]);
        let base: Digest = format!("sha256:{}", "7".repeat(64)).parse().expect("a digest");
        store.create(&machine, 1, &base).expect("a disk");
        Some(Self { dir, store, machine })
    }

    /// The disk of the machine.
    pub(crate) fn disk(&self) -> PathBuf {
        self.store.disk_path(&self.machine)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Boots a guest; its init will wait for the first word.
    pub(crate) fn boot(&self, disk: &Path) -> Guest {
        self.start(disk, &[])
    }

    /// As [`boot`](Self::boot), with more words for QEMU.
    fn start(&self, disk: &Path, more: &[&str]) -> Guest {
        let kernel = KERNEL.as_ref().expect("else there is no house");
        let turn = take_turn();
        let (vmlinux, initramfs) = (self.path("vmlinux"), self.path("initramfs"));
        fs::write(&vmlinux, &kernel.vmlinux).expect("ours");
        fs::write(&initramfs, archive(kernel)).expect("ours");
        let (channel, theirs) = UnixStream::pair().expect("a pair");
        channel.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let (console, qmp_path) = (self.path("console"), self.path("qmp"));
        let said = File::create(self.path("qemu")).expect("ours");
        let node = |name: &str, path: &Path, more: &str| {
            let path = path.display();
            format!("driver=raw,node-name={name},{more},file.driver=file,file.filename={path}")
        };
        let process = Command::new("qemu-system-x86_64")
            .args(["-machine", "microvm,acpi=on,rtc=on", "-accel", "tcg", "-cpu", "max"])
            .args(["-m", "256M", "-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-serial", &format!("file:{}", console.display())])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", qmp_path.display())])
            .arg("-kernel")
            .arg(vmlinux)
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", KERNEL_WORDS])
            .args(["-blockdev", &node("image", &self.path("image.erofs"), "read-only=on")])
            .args(["-blockdev", &node("disk", disk, "discard=unmap")])
            .args(["-device", "virtio-blk-device,drive=image"])
            .args(["-device", "virtio-blk-device,drive=disk"])
            .args(["-device", "virtio-serial-device", "-chardev", "socket,id=control,fd=0"])
            .args(["-device", "virtserialport,chardev=control,name=dormouse.control,nr=1"])
            .args(["-device", "virtio-rng-device"])
            .args(more)
            .stdin(OwnedFd::from(theirs))
            .stderr(said.try_clone().expect("a descriptor"))
            .stdout(said)
            .spawn()
            .expect("QEMU is installed");
        Guest {
            process,
            channel,
            decoder: Decoder::for_serial(),
            epoch: 1,
            news: VecDeque::new(),
            qmp_path,
            console,
            began: Instant::now(),
            told: None,
            output: Vec::new(),
            _turn: turn,
        }
    }

    /// A guest that waits.
    #[track_caller]
    pub(crate) fn waiting(&self) -> Guest {
        self.waiting_with(&self.disk())
    }

    /// As [`waiting`](Self::waiting), with another file as its disk.
    #[track_caller]
    pub(crate) fn waiting_with(&self, disk: &Path) -> Guest {
        let mut guest = self.boot(disk);
        guest.expect(|message| matches!(message, FromGuest::Waiting { .. }));
        guest.greet();
        guest
    }

    /// Saves a guest that waits, with another file as its disk; it ends.
    #[track_caller]
    pub(crate) fn save(&self, disk: &Path) -> Saved {
        let (ram, state) = (self.path("ram"), self.path("state"));
        let mut guest = self.start(disk, &["-object", &ram_of(&ram, "on"), "-machine", SAVED_RAM]);
        guest.expect(|message| matches!(message, FromGuest::Waiting { .. }));
        let mut qmp = guest.qmp();
        qmp.stop(soon()).expect("it stops");
        qmp.set_capabilities(&SAVES, soon()).expect("known");
        let state_file = File::create(&state).expect("ours");
        qmp.getfd("state", state_file.as_fd(), soon()).expect("handed over");
        qmp.save_to("state", soon()).expect("it begins");
        wait_for_migration(&mut qmp);
        drop(qmp);
        guest.cut_power();
        Saved { ram, state }
    }

    /// A guest that goes on where it was saved.
    #[track_caller]
    pub(crate) fn restore(&self, saved: &Saved) -> Guest {
        let words = ["-object", &ram_of(&saved.ram, "off"), "-machine", SAVED_RAM];
        let guest = self.start(&self.disk(), &[&words[..], &["-incoming", "defer"]].concat());
        let mut qmp = guest.qmp();
        qmp.set_capabilities(&SAVES, soon()).expect("known");
        let state = File::open(&saved.state).expect("ours");
        qmp.getfd("state", state.as_fd(), soon()).expect("handed over");
        qmp.load_from("state", soon()).expect("it begins");
        wait_for_migration(&mut qmp);
        qmp.cont(soon()).expect("it goes on");
        guest
    }

    /// A guest that has been furnished.
    #[track_caller]
    pub(crate) fn furnished(&self) -> Guest {
        let mut guest = self.waiting();
        guest.furnish(furnishing());
        guest
    }

    /// A guest whose program has been started.
    #[track_caller]
    pub(crate) fn started(&self, orders: Orders) -> Guest {
        let mut guest = self.furnished();
        guest.start(orders);
        guest
    }
}

impl Guest {
    #[track_caller]
    pub(crate) fn greet(&mut self) {
        self.send(&ToGuest::Hello { version: VERSION, version_min: VERSION_MIN });
        self.expect(|message| matches!(message, FromGuest::Hello { .. }));
    }

    /// Furnishes the guest and tells it what time it is; returns the time that this took in it, in
    /// microseconds.
    #[track_caller]
    pub(crate) fn furnish(&mut self, furnishing: Furnishing) -> u64 {
        self.send(&ToGuest::Furnish(Box::new(furnishing)));
        self.tell_time(unix_now());
        match self.expect(|message| matches!(message, FromGuest::Furnished { .. })) {
            FromGuest::Furnished { parts } => parts.iter().map(|part| u64::from(part.us)).sum(),
            other => unreachable!("{other:?} was not awaited"),
        }
    }

    /// Answers the question for the time, which must have been asked.
    #[track_caller]
    pub(crate) fn tell_time(&mut self, now: Duration) {
        self.expect(|message| matches!(message, FromGuest::ClockAsked));
        self.answer(now);
        self.set_time(now);
    }

    /// From now on this is the time, for who asks.
    pub(crate) fn set_time(&mut self, now: Duration) {
        self.told = Some((now, Instant::now()));
    }

    fn answer(&mut self, now: Duration) {
        let unix_ns = u64::try_from(now.as_nanos()).expect("this age");
        self.send(&ToGuest::Clock { unix_ns });
    }

    /// Asks for what cannot be; returns the guest's sentence when it has switched itself off.
    #[track_caller]
    pub(crate) fn refuses(mut self, furnishing: Furnishing) -> String {
        self.send(&ToGuest::Furnish(Box::new(furnishing)));
        self.tell_time(unix_now());
        let failed = self.expect(|message| matches!(message, FromGuest::FurnishFailed { .. }));
        self.expect_power_off();
        match failed {
            FromGuest::FurnishFailed { message } => message,
            other => unreachable!("{other:?} was not awaited"),
        }
    }

    #[track_caller]
    pub(crate) fn start(&mut self, orders: Orders) {
        let answer = self.try_start(orders);
        assert!(matches!(answer, FromGuest::Started { .. }), "{answer:?}");
    }

    #[track_caller]
    pub(crate) fn try_start(&mut self, orders: Orders) -> FromGuest {
        self.send(&ToGuest::Boot(Box::new(orders)));
        self.expect(|message| {
            matches!(message, FromGuest::Started { .. } | FromGuest::StartFailed { .. })
        })
    }

    pub(crate) fn send(&mut self, message: &ToGuest) {
        let mut bytes = Vec::new();
        encode_message(self.epoch, message, &mut bytes).expect("within its bound");
        self.channel.write_all(&bytes).expect("QEMU lives");
    }

    /// The first message that is awaited. Others before it stay for later, in order.
    #[track_caller]
    pub(crate) fn expect(&mut self, is_awaited: impl Fn(&FromGuest) -> bool) -> FromGuest {
        loop {
            if let Some(at) = self.news.iter().position(&is_awaited) {
                return self.news.remove(at).expect("it is there");
            }
            let n_news = self.news.len();
            if !self.listen() && self.news.len() == n_news {
                panic!("the guest hung up; {:?}\n{}", self.news, self.console());
            }
        }
    }

    /// How the program ended.
    #[track_caller]
    pub(crate) fn exited(&mut self) -> Ended {
        match self.expect(|message| matches!(message, FromGuest::Exited(_))) {
            FromGuest::Exited(ended) => ended,
            other => unreachable!("{other:?} was not awaited"),
        }
    }

    /// Reads until the output holds `text`.
    #[track_caller]
    pub(crate) fn expect_output(&mut self, text: &str) {
        self.expect_output_after("", text);
    }

    /// As [`expect_output`](Self::expect_output), after what has been said `before`.
    #[track_caller]
    pub(crate) fn expect_output_after(&mut self, before: &str, text: &str) {
        while !self.output()[before.len()..].contains(text) {
            assert!(self.listen(), "hung up after {:?}\n{}", self.output(), self.console());
        }
    }

    /// Takes what comes; whether there may be more.
    #[track_caller]
    fn listen(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        let n_bytes = match self.channel.read(&mut buffer) {
            Ok(n_bytes) => n_bytes,
            Err(error) => panic!("{error}; {:?}\n{}", self.news, self.console()),
        };
        self.decoder.push(&buffer[..n_bytes]);
        while let Some(frame) = self.decoder.next_frame().expect("a serial port breaks nothing") {
            match frame.kind {
                FrameKind::Control => {
                    let message = frame.message().expect("init sends messages");
                    match (&message, self.told) {
                        (FromGuest::ClockAsked, Some((then, at))) => {
                            self.answer(then + at.elapsed())
                        }
                        _ => self.news.push_back(message),
                    }
                }
                FrameKind::Data { channel: Channel::Stdout | Channel::Stderr, .. } => {
                    self.output.extend_from_slice(&frame.payload);
                }
                FrameKind::Data { stream: StreamId(_), channel: Channel::Stdin } => {}
            }
        }
        n_bytes > 0
    }

    /// What has been said and not been awaited.
    pub(crate) fn news(&self) -> Vec<FromGuest> {
        self.news.iter().cloned().collect()
    }

    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// What the kernel and init said on the console.
    pub(crate) fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Makes the disk of the guest another size.
    pub(crate) fn resize_disk(&self, size_bytes: u64) {
        let disk = BlockNode("disk".to_owned());
        self.qmp().resize(&disk, size_bytes, soon()).expect("resized");
    }

    fn qmp(&self) -> Qmp {
        let monitor = wait::eventually("QEMU listens", || UnixStream::connect(&self.qmp_path).ok());
        Qmp::connect(monitor, soon()).expect("QEMU answers")
    }

    /// Kills QEMU: no program of the guest has a say in it.
    pub(crate) fn cut_power(mut self) {
        self.process.kill().expect("our own child");
        self.process.wait().expect("our own child");
    }

    /// Hangs up.
    pub(crate) fn hang_up(&mut self) {
        self.channel.shutdown(Shutdown::Both).expect("a socket");
    }

    /// Waits until the guest has switched itself off.
    #[track_caller]
    pub(crate) fn expect_power_off(&mut self) {
        while self.listen() {}
        let ended = || self.process.try_wait().expect("our own child");
        let status = wait::within(PATIENCE, "QEMU ends by itself", ended);
        assert_eq!(status.code(), Some(0), "{}", self.console());
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Waits until the saving or loading is done.
#[track_caller]
fn wait_for_migration(qmp: &mut Qmp) {
    loop {
        let event = qmp.wait_for("MIGRATION", soon()).expect("it is under way");
        if ["completed", "failed"].iter().any(|last| event.data["status"] == *last) {
            break;
        }
    }
    assert_eq!(qmp.migration(soon()).expect("answered"), Migration::Completed);
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// RAM in a file.
fn ram_of(path: &Path, shared: &str) -> String {
    let path = path.display();
    format!("memory-backend-file,id=ram,size=256M,mem-path={path},share={shared}")
}

/// Waits until less than [`GUESTS_MAX`] guests run, of whatever test process.
fn take_turn() -> File {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let turns: Vec<File> = (0..GUESTS_MAX)
        .map(|n| File::create(dir.join(format!("guest-{n}.lock"))).expect("ours"))
        .collect();
    let n = wait::within(PATIENCE * 8, "fewer guests run", || {
        turns.iter().position(|turn| turn.try_lock().is_ok())
    });
    turns.into_iter().nth(n).expect("one of them")
}

/// Adds to the image what a machine has and busybox has not.
fn dress(tree: &Path) {
    for applet in
        "date hostname cut sync mkdir ps readlink kill true mkfifo stat seq head tr setsid \
                   test touch mountpoint tty ip"
            .split_whitespace()
    {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(applet)).expect("a link");
    }
    fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("accounts");
}

/// What the kernel boots from.
fn archive(kernel: &Kernel) -> Vec<u8> {
    let init = fs::read(env!("CARGO_BIN_EXE_dormouse-init")).expect("init is built");
    let tool = Tool { name: "dm", content: b"#!/bin/sh\necho the tool speaks\n" };
    guest_image::archive(kernel, &init, &[tool])
}

/// What most guests become.
pub(crate) fn furnishing() -> Furnishing {
    Furnishing {
        hostname: "sleeper".to_owned(),
        disk_bytes: DISK_BYTES,
        entropy_base64: entropy(1),
        has_fresh_run: false,
        link: None,
        is_rehearsal: false,
    }
}

/// 64 bytes, other ones for each `seed`.
pub(crate) fn entropy(seed: u8) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode([seed; 64])
}

/// Orders for a shell on this text.
pub(crate) fn shell(script: &str) -> Orders {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Orders { argv, ..Orders::default() }
}

/// An exit with this code.
pub(crate) fn code(code: i32) -> Ended {
    Ended { code: Some(code), signal: None }
}

pub(crate) fn unix_now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.try_into().expect("after 1970")
}
