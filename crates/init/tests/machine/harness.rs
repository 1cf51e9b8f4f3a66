//! A machine around the real init: namespaces, a busybox root, and the host's end of the channel.

use guest_proto::message::Ended;
use guest_proto::{
    Channel, Decoder, FrameKind, FromGuest, Orders, StreamId, ToGuest, VERSION, VERSION_MIN,
    encode, encode_message,
};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::Signal;
use rustix::thread::UnshareFlags;
use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Nothing that a test waits for takes longer on a busy box.
const PATIENCE: Duration = Duration::from_secs(20);

/// A machine around the real init.
pub(crate) struct Machine {
    /// Waits for init in the host's pid namespace, and ends as init ends.
    keeper: Child,
    socket: Option<UnixStream>,
    decoder: Decoder,
    pub(crate) epoch: u32,
    news: VecDeque<News>,
    /// The program's standard output so far.
    pub(crate) stdout: Vec<u8>,
    /// The program's standard error so far.
    pub(crate) stderr: Vec<u8>,
    /// Its root file system.
    root: TempDir,
}

/// What init said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum News {
    Message(FromGuest),
    Data(StreamId, Channel, Vec<u8>),
}

impl Machine {
    /// Init waits for the first word.
    pub(crate) fn silent() -> Self {
        Self::with_root(busybox_root())
    }

    /// Init has been greeted.
    pub(crate) fn greeted() -> Self {
        let mut machine = Self::silent();
        machine.greet();
        machine
    }

    /// A program has been started.
    pub(crate) fn started(orders: Orders) -> Self {
        let mut machine = Self::greeted();
        machine.boot(orders);
        machine
    }

    /// A shell has been started on this text.
    pub(crate) fn shell(script: &str) -> Self {
        Self::started(shell(script))
    }

    /// Init waits for the first word over this root.
    pub(crate) fn with_root(root: TempDir) -> Self {
        Self::new(root, Second::None)
    }

    /// Init has been greeted, and a second process waits to become PID 1 of a child namespace.
    pub(crate) fn greeted_with_second() -> Self {
        let mut machine = Self::new(busybox_root(), Second::Waits);
        machine.greet();
        machine
    }

    /// A program has been started as PID 1 of a child namespace.
    pub(crate) fn started_with_second(orders: Orders) -> Self {
        let mut machine = Self::greeted_with_second();
        machine.boot(Orders { pid1: true, ..orders });
        machine
    }

    /// The next run over the same root; this one has ended.
    pub(crate) fn again(mut self) -> Self {
        let empty = TempDir::new().expect("a temporary directory");
        Self::with_root(std::mem::replace(&mut self.root, empty))
    }

    fn new(root: TempDir, second: Second) -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut command = Command::new("/init");
        command.env_clear().stdin(Stdio::null());
        if second == Second::Waits {
            command.args(["--pid1-fd", "4"]);
        }
        let theirs = OwnedFd::from(theirs);
        let path = root.path().to_owned();
        // SAFETY: between fork and exec the closure makes system calls, and allocates; the C
        // library keeps its allocator usable in the child of a fork.
        unsafe { command.pre_exec(move || enter_machine(&path, &theirs, second)) };
        let keeper = command.spawn().expect("init starts");
        Self {
            keeper,
            socket: Some(ours),
            decoder: Decoder::for_socket(),
            epoch: 1,
            news: VecDeque::new(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            root,
        }
    }

    pub(crate) fn greet(&mut self) {
        self.send(&ToGuest::Hello { version: VERSION, version_min: VERSION_MIN });
        self.expect(|message| matches!(message, FromGuest::Hello { .. }));
    }

    pub(crate) fn boot(&mut self, orders: Orders) -> FromGuest {
        self.send(&ToGuest::Boot(Box::new(orders)));
        self.expect(|message| {
            matches!(message, FromGuest::Started { .. } | FromGuest::StartFailed { .. })
        })
    }

    pub(crate) fn send(&mut self, message: &ToGuest) {
        let mut bytes = Vec::new();
        encode_message(self.epoch, message, &mut bytes).expect("a message within its bound");
        self.send_raw(&bytes);
    }

    pub(crate) fn send_data(&mut self, stream: StreamId, channel: Channel, bytes: &[u8]) {
        let mut frame = Vec::new();
        encode(self.epoch, FrameKind::Data { stream, channel }, bytes, &mut frame)
            .expect("a frame within its bound");
        self.send_raw(&frame);
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        let socket = self.socket.as_mut().expect("the channel is open");
        socket.write_all(bytes).expect("init reads");
    }

    /// Closes the host's end of the channel.
    pub(crate) fn hang_up(&mut self) {
        self.socket = None;
    }

    /// The first message that is awaited. Others before it stay for later, in order.
    #[track_caller]
    pub(crate) fn expect(&mut self, mut is_awaited: impl FnMut(&FromGuest) -> bool) -> FromGuest {
        self.expect_news(|news| matches!(news, News::Message(message) if is_awaited(message)))
            .into_message()
    }

    /// The first data of `stream`.
    #[track_caller]
    pub(crate) fn expect_data(&mut self, wanted: StreamId) -> Vec<u8> {
        match self.expect_news(|news| matches!(news, News::Data(stream, ..) if *stream == wanted)) {
            News::Data(_, _, bytes) => bytes,
            News::Message(_) => unreachable!("data was awaited"),
        }
    }

    /// Credit for `wanted` that has arrived so far.
    pub(crate) fn credits(&mut self, wanted: StreamId) -> Vec<u32> {
        let mut credits = Vec::new();
        self.news.retain(|news| match news {
            News::Message(FromGuest::Credit { stream, bytes }) if *stream == wanted => {
                credits.push(*bytes);
                false
            }
            _ => true,
        });
        credits
    }

    #[track_caller]
    fn expect_news(&mut self, mut is_awaited: impl FnMut(&News) -> bool) -> News {
        let mut looked_at = 0;
        loop {
            if let Some(at) = self.news.iter().skip(looked_at).position(&mut is_awaited) {
                return self.news.remove(looked_at + at).expect("it is there");
            }
            looked_at = self.news.len();
            assert!(
                self.listen().expect("news in time"),
                "init hung up; stderr: {}",
                self.errors()
            );
        }
    }

    /// Reads the program's output until it holds `text`.
    #[track_caller]
    pub(crate) fn expect_stdout(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.stdout).contains(text) {
            let is_open = self.listen().expect("output in time");
            assert!(is_open, "init hung up after {:?}", String::from_utf8_lossy(&self.stdout));
        }
    }

    /// Reads to the end of the program and of init; returns how the program ended.
    #[track_caller]
    pub(crate) fn finish(&mut self) -> Ended {
        let ended = match self.expect(|message| matches!(message, FromGuest::Exited(_))) {
            FromGuest::Exited(ended) => ended,
            other => unreachable!("{other:?} was not awaited"),
        };
        assert_eq!(self.init_exit_code(), Some(0));
        ended
    }

    /// Reads to the end of init; returns its exit code.
    pub(crate) fn init_exit_code(&mut self) -> Option<i32> {
        while self.socket.is_some() && self.listen().expect("the end in time") {}
        self.keeper.wait().expect("init can be waited for").code()
    }

    /// Whether nobody in the machine is left to write to the channel.
    fn listen(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; 128 * 1024];
        let read = self.socket.as_mut().expect("the channel is open").read(&mut buffer);
        let n_bytes = match read {
            // An init that ends with orders unread closes the channel this way.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            read => read?,
        };
        self.decoder.push(&buffer[..n_bytes]);
        while let Some(frame) = self.decoder.next_frame().expect("init sends frames") {
            match frame.kind {
                FrameKind::Control => {
                    let message = frame.message().expect("init sends messages");
                    self.news.push_back(News::Message(message));
                }
                FrameKind::Data { stream: StreamId::MAIN, channel } => match channel {
                    Channel::Stdout => self.stdout.extend_from_slice(&frame.payload),
                    Channel::Stderr => self.stderr.extend_from_slice(&frame.payload),
                    Channel::Stdin => panic!("the log has no input"),
                },
                FrameKind::Data { stream, channel } => {
                    self.news.push_back(News::Data(stream, channel, frame.payload.to_vec()));
                }
            }
        }
        Ok(n_bytes > 0)
    }

    /// Init's pid in the host's namespace.
    pub(crate) fn init_pid(&self) -> u32 {
        let keeper = self.keeper.id();
        let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"))
            .expect("the keeper lives");
        children.trim().parse().expect("one child")
    }

    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl News {
    fn into_message(self) -> FromGuest {
        match self {
            Self::Message(message) => message,
            Self::Data(..) => unreachable!("a message was awaited"),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.socket = None;
        self.keeper.kill().expect("the keeper can be killed, and init dies with it");
        self.keeper.wait().expect("the keeper can be waited for");
    }
}

/// Orders for a program and nothing else.
pub(crate) fn program(argv: &[&str]) -> Orders {
    Orders { argv: argv.iter().map(|word| (*word).to_owned()).collect(), ..Orders::default() }
}

/// Orders for a shell on this text.
pub(crate) fn shell(script: &str) -> Orders {
    program(&["/bin/sh", "-c", script])
}

/// An exit with this code.
pub(crate) fn code(code: i32) -> Ended {
    Ended { code: Some(code), signal: None }
}

/// A death by this signal.
pub(crate) fn signal(signal: Signal) -> Ended {
    Ended { code: None, signal: Some(signal.as_raw()) }
}

/// This test program itself, inside the machine.
pub(crate) const TEST_PROGRAM: &str = "/tests";

/// A root file system with busybox and a few accounts.
pub(crate) fn busybox_root() -> TempDir {
    let root = TempDir::with_prefix("dormouse-init-").expect("a temporary directory");
    let at = |path: &str| root.path().join(path);
    for dir in ["bin", "dev", "etc", "proc", "tmp", "root"] {
        std::fs::create_dir(at(dir)).expect("a directory");
    }
    std::fs::copy("/bin/busybox", at("bin/busybox")).expect("busybox is installed");
    std::fs::copy(env!("CARGO_BIN_EXE_dormouse-init"), at("init")).expect("init is built");
    let own = std::env::current_exe().expect("this program has a path");
    std::fs::hard_link(&own, at("tests"))
        .or_else(|_other_disk| std::fs::copy(&own, at("tests")).map(drop))
        .expect("this program can be copied");
    let applets = "sh sleep cat echo true false id pwd env kill seq dd stty ls mkdir yes head wc nc \
                   chmod ln stat tty setsid hostname mkfifo readlink test touch md5sum";
    for applet in applets.split_whitespace() {
        symlink("busybox", at("bin").join(applet)).expect("a link");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
    std::fs::write(at("etc/passwd"), passwd).expect("accounts");
    std::fs::write(at("etc/group"), "root:x:0:\napp:x:1001:\nextra:x:2000:app\n").expect("groups");
    root
}

/// In the forked child: from here on PID 1 of a new machine. Its parent stays behind as keeper.
fn enter_machine(root: &Path, channel: &OwnedFd, second: Second) -> io::Result<()> {
    let namespaces = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC;
    // SAFETY: the child of a fork has one thread; no borrowed descriptor table is unshared.
    unsafe { rustix::thread::unshare_unsafe(namespaces)? };
    // SAFETY: one thread; the parent side only makes system calls.
    match unsafe { libc::fork() } {
        0 => {}
        pid if pid > 0 => keep(pid),
        _ => return Err(io::Error::last_os_error()),
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    mount_root(root)?;
    let second = match second {
        Second::None => None,
        Second::Waits => Some(make_second()?),
    };
    pass_as(channel, 3)?;
    second.map_or(Ok(()), |socket| {
        let passed = pass_as(&socket, 4);
        std::mem::forget(socket);
        passed
    })
}

/// Makes `fd` known to the next program under this number.
fn pass_as(fd: &OwnedFd, number: i32) -> io::Result<()> {
    // SAFETY: both take numbers. The target is closed by the next exec at the latest, or is a pipe
    // of the standard library that then reports success.
    let result = unsafe {
        if fd.as_raw_fd() == number {
            libc::fcntl(number, libc::F_SETFD, 0)
        } else {
            libc::dup2(fd.as_raw_fd(), number)
        }
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes the process that waits to become PID 1 of a child namespace; returns init's socket to it.
fn make_second() -> io::Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair()?;
    // SAFETY: a clone without a stack is a fork; this process has one thread.
    let pid = unsafe {
        let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::SIGCHLD;
        libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0)
    };
    match pid {
        0 => {
            rustix::mount::mount("proc", "/proc", "proc", MountFlags::empty(), c"")?;
            pass_as(&theirs.into(), 3)?;
            Err(Command::new("/init").arg("pid1").env_clear().exec())
        }
        pid if pid > 0 => Ok(ours.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether there is a process that waits to become PID 1 of a child namespace.
#[derive(Clone, Copy, PartialEq)]
enum Second {
    None,
    Waits,
}

/// Ends as the child ends. Holds no descriptor open, so that nobody waits for it.
fn keep(pid: libc::pid_t) -> ! {
    let mut status = 0;
    // SAFETY: system calls on numbers; `status` lives through the wait.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0_u32, u32::MAX, 0_u32);
        libc::waitpid(pid, &raw mut status, 0);
        libc::_exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 })
    }
}

fn mount_root(root: &Path) -> io::Result<()> {
    use rustix::mount;
    mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    mount::mount_bind(root, root)?;
    rustix::process::chdir(root)?;
    let none = c"";
    mount::mount("proc", "proc", "proc", MountFlags::empty(), none)?;
    mount::mount("tmpfs", "dev", "tmpfs", MountFlags::empty(), c"mode=0755")?;
    for (name, minor) in [("dev/null", 3), ("dev/zero", 5), ("dev/urandom", 9)] {
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(
            CWD,
            name,
            FileType::CharacterDevice,
            mode,
            rustix::fs::makedev(1, minor),
        )?;
        rustix::fs::chmod(name, mode)?;
    }
    rustix::fs::mkdir("dev/pts", Mode::from_raw_mode(0o755))?;
    let options = c"newinstance,ptmxmode=0666,mode=0620";
    mount::mount("devpts", "dev/pts", "devpts", MountFlags::empty(), options)?;
    rustix::fs::symlink("pts/ptmx", "dev/ptmx")?;
    for (number, name) in ["dev/stdin", "dev/stdout", "dev/stderr"].into_iter().enumerate() {
        rustix::fs::symlink(format!("/proc/self/fd/{number}"), name)?;
    }
    rustix::process::chroot(".")?;
    rustix::process::chdir("/")?;
    Ok(())
}
