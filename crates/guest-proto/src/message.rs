//! The messages, one JSON object in each control frame.
//!
//! Unknown fields are ignored and unknown messages are answered with [`FromGuest::Unknown`], so a
//! newer peer may speak to an older one within the same major version.

use crate::stream::StreamId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// From the host (shim) to the guest init.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToGuest {
    /// First message of each epoch. Init answers with [`FromGuest::Hello`].
    Hello {
        /// Newest version the host speaks.
        version: u16,
        /// Oldest version the host speaks.
        version_min: u16,
    },
    /// Make a machine out of a kernel that waits ([`FromGuest::Waiting`]): only on engines with a kernel
    /// of the guest's own, and before [`ToGuest::Boot`]. Answered by [`FromGuest::Furnished`] or
    /// [`FromGuest::FurnishFailed`].
    Furnish(Box<Furnishing>),
    /// The machine has slept on a disk: set the clock, and begin the random numbers anew. Only on engines
    /// with a kernel of the guest's own, in an epoch of its own, and repeated until it is answered by
    /// [`FromGuest::Resumed`]; what comes after that is only answered again.
    Resume {
        /// Random bytes that nobody else gets, as base64; at most [`ENTROPY_MAX_BYTES`].
        entropy_base64: String,
    },
    /// The machine has stood still in its RAM, and its clock with it: it is to ask what time it is. Or
    /// it was to sleep on a disk and does not: its programs go on. Only on engines with a kernel of the
    /// guest's own. Not answered, but heard before all that comes after it.
    Thawed,
    /// What time it is: the answer to [`FromGuest::ClockAsked`].
    Clock {
        /// Unix nanoseconds at the moment of the answer.
        unix_ns: u64,
    },
    /// Run the program. Sent once in a run; a repeat is ignored and answered as before.
    Boot(Box<Orders>),
    /// Send `signal` to the main program (its PID 1 in a child namespace, if it has one).
    Signal {
        /// Signal number, 1 to 64.
        signal: i32,
    },
    /// Ask everything that still runs to end, flush, then exit.
    Shutdown,
    /// Run a command beside the program.
    Exec {
        /// Even number chosen by the host.
        stream: StreamId,
        /// What to run.
        exec: ExecOrders,
    },
    /// New terminal size for an exec stream (or the program, on [`StreamId::MAIN`]).
    Resize {
        /// The stream.
        stream: StreamId,
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// The host sends no more bytes on this stream: end of file on the program's standard input,
    /// end of the answer on an API connection.
    End {
        /// The stream.
        stream: StreamId,
    },
    /// Drop the stream; an exec on it is killed.
    Reset {
        /// The stream.
        stream: StreamId,
    },
    /// The guest may send this many more bytes on the stream.
    Credit {
        /// The stream.
        stream: StreamId,
        /// Bytes, added to what is left.
        bytes: u32,
    },
    /// A question with one [`FromGuest::Answer`].
    Ask {
        /// Chosen by the host; comes back in the answer.
        id: u64,
        /// The question.
        question: Question,
    },
}

/// A question of the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Question {
    /// Which processes run?
    Processes,
    /// Which ports listen?
    Listening,
    /// Answer as soon as the TCP port listens, or after `timeout_ms` with what listens then.
    WaitListening {
        /// TCP port.
        port: u16,
        /// Longest wait in milliseconds, at most 60,000.
        timeout_ms: u32,
    },
    /// Have all programs stand still until [`ToGuest::Resume`] or [`ToGuest::Thawed`], on engines with a
    /// kernel of the guest's own, and flush all file systems (`syncfs`). Asked before a sleep on a disk.
    /// RAM that lies on a disk may have an init which knows only the flush: the word stays.
    #[serde(rename = "sync")]
    Quiesce,
}

/// From the guest init to the host (shim).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromGuest {
    /// Answer to [`ToGuest::Hello`].
    Hello {
        /// Version chosen: the newest both sides speak.
        version: u16,
        /// Whether the program has been ordered already (true after a reconnect).
        booted: bool,
    },
    /// Answer to a [`ToGuest::Hello`] whose versions this init does not speak. It takes no other
    /// message until a `Hello` that it can accept.
    HelloRefused {
        /// Newest version this init speaks.
        version: u16,
        /// Oldest version this init speaks.
        version_min: u16,
    },
    /// The kernel is up and this init, its first process, waits to be furnished. The first frame on a
    /// channel of such an init, of epoch 0, and the last one of a rehearsal
    /// ([`Furnishing::is_rehearsal`]): what is restored from here has said it.
    Waiting {
        /// Release of the kernel.
        kernel: String,
    },
    /// What time is it? Whoever was restored, or has stood still, knows only when that began. Asked until
    /// an answer comes fast enough to be right.
    ClockAsked,
    /// Answer to [`ToGuest::Furnish`]: the file systems are mounted, the clock is right.
    Furnished {
        /// Where the time went, in the guest.
        parts: Vec<Part>,
    },
    /// Answer to [`ToGuest::Furnish`] or [`ToGuest::Resume`] that could not be carried out; the guest
    /// switches itself off.
    FurnishFailed {
        /// A sentence for the user.
        message: String,
    },
    /// Answer to [`ToGuest::Resume`]: the clock is right, and random numbers are its own.
    Resumed,
    /// The program's `exec` succeeded.
    Started {
        /// Its pid in the guest.
        pid: u32,
    },
    /// The program could not be started; init exits after this.
    StartFailed {
        /// Why.
        reason: StartFailure,
        /// A sentence for the user.
        message: String,
    },
    /// The program ended; init exits after this.
    Exited(Ended),
    /// The command of an exec stream runs.
    ExecStarted {
        /// The stream.
        stream: StreamId,
        /// Its pid in the guest.
        pid: u32,
    },
    /// The command of an exec stream could not be started; the stream is gone.
    ExecFailed {
        /// The stream.
        stream: StreamId,
        /// Why.
        reason: StartFailure,
        /// A sentence for the user.
        message: String,
    },
    /// The command of an exec stream ended and its output has been sent; the stream is gone.
    ExecEnded {
        /// The stream.
        stream: StreamId,
        /// How.
        ended: Ended,
    },
    /// Somebody in the guest connected to `/.fly/api`.
    ApiOpened {
        /// Odd number chosen by init.
        stream: StreamId,
    },
    /// The guest sends no more bytes on this stream.
    End {
        /// The stream.
        stream: StreamId,
    },
    /// The guest dropped the stream.
    Reset {
        /// The stream.
        stream: StreamId,
    },
    /// The host may send this many more bytes on the stream.
    Credit {
        /// The stream.
        stream: StreamId,
        /// Bytes, added to what is left.
        bytes: u32,
    },
    /// Answer to [`ToGuest::Ask`].
    Answer {
        /// The question's id.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// A message that this init does not know.
    Unknown {
        /// Its `type`, at most 64 bytes.
        what: String,
    },
}

/// Answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Processes`].
    Processes {
        /// At most 10,000.
        processes: Vec<Process>,
    },
    /// To [`Question::Listening`] and [`Question::WaitListening`].
    Listening {
        /// Listening sockets.
        sockets: Vec<ListenSocket>,
    },
    /// Done.
    Done,
    /// The question could not be answered.
    Failed {
        /// Why.
        message: String,
    },
}

/// One process of the guest. Source of the fields: machines-api 1.6, Processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Pid in the guest.
    pub pid: u32,
    /// Start time in seconds since the boot of the guest.
    pub stime: u64,
    /// Seconds since its start.
    pub rtime: u64,
    /// Command line, at most 4 KiB.
    pub command: String,
    /// Working directory; empty when it cannot be read.
    pub directory: String,
    /// CPU use over its life in percent of one CPU.
    pub cpu: u32,
    /// Resident bytes.
    pub rss: u64,
    /// Its listening sockets.
    pub listen_sockets: Vec<ListenSocket>,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenSocket {
    /// `tcp` or `udp`.
    pub proto: String,
    /// `address:port`, IPv6 in brackets.
    pub address: String,
}

/// How a process ended: exactly one of the two is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Exit code.
    pub code: Option<i32>,
    /// Signal number that killed it.
    pub signal: Option<i32>,
}

/// Why a program could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartFailure {
    /// The argument vector is empty.
    EmptyArgv,
    /// The file was not found on the path.
    NotFound,
    /// The file is not executable, or not a program this host can run.
    NotExecutable,
    /// The user or group does not exist in the image.
    UnknownUser,
    /// The working directory cannot be entered or made.
    WorkingDir,
    /// A file of the configuration cannot be written.
    Files,
    /// Everything else.
    Other,
}

/// All that init needs to run the program. At most [`ORDERS_MAX_BYTES`] as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Orders {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment (image, machine, `FLY_*`); `PATH`, `HOME` and `TERM` are added by init
    /// when they are missing.
    pub env: BTreeMap<String, String>,
    /// `user[:group]`, names or numbers; empty is root.
    pub user: String,
    /// Working directory, made when missing; empty is `/`.
    pub working_dir: String,
    /// Host name.
    pub hostname: String,
    /// Lines of `/etc/hosts`.
    pub hosts: Vec<HostsLine>,
    /// Text of `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// Files to write first.
    pub files: Vec<FileOrder>,
    /// Give the program a terminal.
    pub tty: bool,
    /// Run the program as PID 1 of a child pid and cgroup namespace.
    pub pid1: bool,
}

/// All that a kernel which waits needs to become this machine and no other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Furnishing {
    /// Host name.
    pub hostname: String,
    /// Size in bytes that the disk's device must show before it is mounted: the kernel knows that of
    /// another one.
    pub disk_bytes: u64,
    /// Random bytes that nobody else gets, as base64; at most [`ENTROPY_MAX_BYTES`].
    pub entropy_base64: String,
    /// The program is an init and wants a `/run` that is empty at each start.
    pub has_fresh_run: bool,
    /// What its link carries; a machine without a network has loopback alone.
    #[serde(default)]
    pub link: Option<LinkOrders>,
    /// When the program has ended, the kernel waits again ([`FromGuest::Waiting`]), and nothing is left of
    /// this machine: whatever is done the second time is done faster.
    #[serde(default)]
    pub is_rehearsal: bool,
}

/// What a guest has to set on its link. Nobody there asks or answers who has an address (no ARP, no
/// neighbour discovery): both ends have the same hardware address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkOrders {
    /// The machine's IPv4 address; its prefix has all 32 bits.
    pub v4: Ipv4Addr,
    /// The machine's IPv6 address.
    pub v6: Ipv6Addr,
    /// Bits of its prefix.
    pub v6_len: u8,
    /// Where the IPv4 default route leads; on the link, though no prefix says so.
    pub gateway_v4: Ipv4Addr,
    /// Where the IPv6 default route leads; link-local.
    pub gateway_v6: Ipv6Addr,
}

/// One named part of what took time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name, e.g. `clock`, `disk`.
    pub name: String,
    /// Microseconds.
    pub us: u32,
}

/// Most random bytes of a [`Furnishing`].
pub const ENTROPY_MAX_BYTES: usize = 512;

/// Largest [`Orders`] as JSON. A machine's configuration is bounded to 1 MiB by the API; base64 and
/// JSON escapes at most double it, the rest is the image's environment.
pub const ORDERS_MAX_BYTES: usize = 3 * 1024 * 1024;

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostsLine {
    /// IPv4 or IPv6 address.
    pub address: String,
    /// Names, first the canonical one.
    pub names: Vec<String>,
}

/// A file to write before the program starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOrder {
    /// Absolute path in the guest; missing parents are made.
    pub path: String,
    /// Content as base64.
    pub content_base64: String,
    /// Permission bits.
    pub mode: u32,
}

/// A command to run beside the program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecOrders {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Added to the machine's environment.
    pub env: BTreeMap<String, String>,
    /// `user[:group]`; empty is the machine's user.
    pub user: String,
    /// Working directory; empty is the machine's.
    pub working_dir: String,
    /// Terminal size, `(rows, cols)`, when the command gets a terminal.
    pub tty: Option<(u16, u16)>,
    /// Whether the host will send input; otherwise standard input is empty.
    pub has_stdin: bool,
}
