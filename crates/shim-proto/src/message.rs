//! The messages, one JSON object `{"type": …, "body": …}` in each control frame. The body is apart
//! because the guest's messages, which are relayed in it, have a `type` of their own.

use crate::exit_file::ExitRecord;
use crate::spec::{RunSpec, WarmSpec};
use guest_proto::{FromGuest, ToGuest};
use serde::{Deserialize, Serialize};

/// From the daemon to the shim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body", rename_all = "snake_case")]
pub enum ToShim {
    /// First message on each connection.
    Hello {
        /// Newest version the daemon speaks.
        version: u16,
        /// Oldest version the daemon speaks.
        version_min: u16,
    },
    /// Start a virtual machine that waits for its run, and warm it. Before [`ToShim::Prepare`], whose run
    /// uses it if it is fit. Answered by [`FromShim::Warmed`] or [`FromShim::WarmFailed`].
    Warm(Box<WarmSpec>),
    /// Attach the disk, make the cgroup, mount: all that leaves nothing behind when the shim dies.
    /// Answered by [`FromShim::Prepared`] or [`FromShim::StartFailed`]. One that comes back from disk is
    /// there afterwards, and stands still.
    Prepare(Box<RunSpec>),
    /// Run it: the intent is on disk. May arrive before `Prepared` was sent.
    Go,
    /// Ask the program to end with `signal`; kill after `timeout_ms`.
    Stop {
        /// Signal number, 1 to 64.
        signal: i32,
        /// Time to obey in milliseconds.
        timeout_ms: u64,
    },
    /// Kill everything of the run now.
    Kill,
    /// Freeze all processes of the run. Answered by [`FromShim::Frozen`] or
    /// [`FromShim::Refused`].
    Freeze,
    /// Thaw. Answered by [`FromShim::Thawed`] or [`FromShim::Refused`].
    Thaw,
    /// Put the RAM of the run on disk. Answered by [`FromShim::Suspended`] or [`FromShim::Refused`], the
    /// latter also when [`ToShim::Thaw`] calls it off.
    Suspend,
    /// What does the run use? Answered by [`FromShim::Usage`].
    Usage {
        /// Comes back in the answer.
        id: u64,
    },
    /// To the guest init, as it is. [`FromShim::Refused`] while the run is not up.
    Guest(ToGuest),
}

/// From the shim to the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body", rename_all = "snake_case")]
pub enum FromShim {
    /// Answer to [`ToShim::Hello`].
    Hello {
        /// Version chosen.
        version: u16,
        /// Build of the shim: pooled shims of another build are discarded.
        build: String,
        /// Pid of the shim in the host's pid namespace.
        pid: u32,
        /// What it does now.
        status: RunStatus,
    },
    /// Answer to [`ToShim::Warm`].
    Warmed {
        /// Where the time went.
        timings: Vec<Timing>,
    },
    /// The virtual machine could not be warmed; nothing of it is left. The shim exits after this.
    WarmFailed {
        /// A sentence for the log.
        message: String,
    },
    /// Answer to [`ToShim::Prepare`].
    Prepared {
        /// Where the time went.
        timings: Vec<Timing>,
    },
    /// The program runs.
    Started {
        /// Pid of the guest init in the host's pid namespace.
        init_pid: u32,
        /// Unix milliseconds.
        at: u64,
        /// Where the time went, from `Go`.
        timings: Vec<Timing>,
    },
    /// The run could not be brought up; nothing of it is left. The shim exits after this.
    StartFailed {
        /// Stable word, e.g. `not_found`, `not_executable`, `disk`, `cgroup`, `namespace`.
        code: String,
        /// A sentence for the user.
        message: String,
    },
    /// The run has ended and nothing of it is left; the exit file is on disk. The shim exits after
    /// this.
    Exited(ExitRecord),
    /// All processes are frozen.
    Frozen {
        /// RAM they hold, in bytes.
        ram_bytes: u64,
    },
    /// All processes run again.
    Thawed,
    /// The RAM of the run is on disk, and nothing else is left of it. The shim exits after this.
    Suspended {
        /// Bytes that it takes there.
        disk_bytes: u64,
    },
    /// A run that was on disk goes on ([`crate::spec::RamSpec::is_resume`]), in the place of
    /// [`FromShim::Started`].
    Resumed {
        /// Pid of the monitor in the host's pid namespace.
        init_pid: u32,
        /// Where the time went, from `Go`.
        timings: Vec<Timing>,
    },
    /// Answer to [`ToShim::Usage`].
    Usage {
        /// The question's id.
        id: u64,
        /// The answer; `None` while the run is not up.
        usage: Option<Usage>,
    },
    /// The order makes no sense now or this engine cannot do it.
    Refused {
        /// `type` of the order.
        order: String,
        /// Stable word: `not_running`, `unsupported`, `called_off`, `failed`.
        code: String,
        /// A sentence for the user.
        message: String,
    },
    /// From the guest init, as it is.
    Guest(FromGuest),
}

/// What a shim does now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RunStatus {
    /// Pooled: no run yet.
    Idle,
    /// Between `Prepare` and `Started`.
    Starting {
        /// The run.
        run: String,
        /// The machine.
        machine: String,
    },
    /// The program runs (or is frozen).
    Up {
        /// The run.
        run: String,
        /// The machine.
        machine: String,
        /// Pid of the guest init in the host's pid namespace.
        init_pid: u32,
        /// Unix milliseconds of the start.
        started_at: u64,
        /// Whether its processes are frozen.
        is_frozen: bool,
    },
    /// A stop is under way.
    Stopping {
        /// The run.
        run: String,
        /// The machine.
        machine: String,
    },
}

/// One named part of a measured path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Name, e.g. `disk`, `cgroup`, `clone`, `mounts`, `exec`, `init`.
    pub part: String,
    /// Microseconds.
    pub us: u32,
}

/// What a run uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in microseconds since the start of the run.
    pub cpu_us: u64,
    /// RAM in bytes, page cache included.
    pub ram_bytes: u64,
    /// RAM limit in bytes.
    pub ram_limit_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes received on the guest's link.
    pub rx_bytes: u64,
    /// Bytes sent on the guest's link.
    pub tx_bytes: u64,
    /// Blocks of the disk in use, in bytes.
    pub disk_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest_proto::StreamId;

    #[test]
    fn a_relayed_message_keeps_its_own_type() {
        let message = ToShim::Guest(ToGuest::End { stream: StreamId(2) });
        let text = serde_json::to_string(&message).expect("text");
        assert_eq!(text, r#"{"type":"guest","body":{"type":"end","stream":2}}"#);
        assert_eq!(serde_json::from_str::<ToShim>(&text).expect("read"), message);
        let text = serde_json::to_string(&ToShim::Go).expect("text");
        assert_eq!(text, r#"{"type":"go"}"#);
    }
}
