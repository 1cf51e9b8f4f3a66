//! What can happen to a machine.

use crate::cause::{Cause, Depth, Want};
use crate::effect::TimerKind;
use crate::ids::{BootId, RunId, SlotId};
use crate::state::{HoldDown, Rest};
use crate::units::{DurationMs, UnixMs};
use serde::{Deserialize, Serialize};

/// Something that happened. Requests have been admitted ([`crate::admit()`]) before they arrive.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody wants it up or down.
    Want {
        /// What.
        want: Want,
        /// Why.
        cause: Cause,
        /// Chance and facts for a run that may begin now.
        seed: RunSeed,
        /// How the program is asked to stop, if it comes to that.
        stop: StopOrder,
    },
    /// Stop and start again.
    Restart {
        /// Why.
        cause: Cause,
        /// As in `Want`.
        seed: RunSeed,
        /// As in `Want`.
        stop: StopOrder,
    },
    /// Remove it.
    Destroy {
        /// Also when it is up.
        force: bool,
    },
    /// Put a new version in place.
    Update {
        /// Start it afterwards even if it is not up now.
        launch: bool,
        /// As in `Want`.
        stop: StopOrder,
    },
    /// The create or update plan finished.
    Prepared {
        /// As in `Want`.
        seed: RunSeed,
    },
    /// The create or update plan failed for good.
    PrepareFailed {
        /// Stable word.
        code: String,
        /// A sentence for the user.
        message: String,
    },
    /// The program runs.
    RunStarted {
        /// The run.
        run: RunId,
        /// When.
        at: UnixMs,
    },
    /// The run could not be brought up; nothing of it is left.
    RunFailed {
        /// The run.
        run: RunId,
        /// Stable word.
        code: String,
        /// A sentence for the user.
        message: String,
        /// Whether trying again may help.
        is_transient: bool,
        /// As in `Want`: for the retry.
        seed: RunSeed,
    },
    /// The run ended; nothing of it is left.
    RunExited {
        /// The run.
        run: RunId,
        /// How.
        exit: Exit,
        /// What the restart policy of its version says about it.
        policy: crate::spec::RestartPolicy,
        /// Destroy the machine if nothing follows this exit.
        auto_destroy: bool,
        /// For a start that follows at once.
        seed: RunSeed,
    },
    /// All processes stand still, or the RAM is on disk.
    Slept {
        /// The run.
        run: RunId,
        /// How deep.
        depth: Depth,
        /// RAM still held, in bytes.
        ram_bytes: u64,
    },
    /// It could not be frozen or suspended; it runs on.
    SleepFailed {
        /// The run.
        run: RunId,
        /// A sentence for the user.
        message: String,
    },
    /// All processes run again after a freeze or suspend.
    Woke {
        /// The run.
        run: RunId,
    },
    /// A timer that an effect armed.
    Timer {
        /// Which.
        kind: TimerKind,
        /// For a start that follows.
        seed: RunSeed,
        /// As in `Want`.
        stop: StopOrder,
    },
    /// A rest has been admitted and the guest listens for notices: tell it first.
    Notice {
        /// What was decided.
        rest: Rest,
        /// Vetoes in a row so far.
        vetoes: u8,
    },
    /// The guest put a hold in answer to the rest notice.
    Vetoed,
    /// A gate stopped a wake for now.
    Owe {
        /// Why it is wanted.
        cause: Cause,
        /// Earliest moment to try again.
        not_before: UnixMs,
    },
    /// Nobody wants it up any more: nothing is owed.
    Forgive,
    /// Somebody holds it down, or lets go of it.
    HoldDown {
        /// `None` lets go.
        hold: Option<HoldDown>,
    },
    /// The destroy plan finished.
    Removed,
    /// The host is in another boot than the run: nothing of it is left.
    HostRebooted {
        /// For the return by policy.
        seed: RunSeed,
        /// The policy of its version.
        policy: crate::spec::RestartPolicy,
        /// As in `RunExited`.
        auto_destroy: bool,
    },
}

/// Chance and facts for a run that may begin now: drawn by the shell, used if a run begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSeed {
    /// A fresh run id.
    pub run: RunId,
    /// The slot that is free for it; `None` on an engine that needs none.
    pub slot: Option<SlotId>,
    /// The host's boot.
    pub boot: BootId,
}

/// How the program is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// Signal number.
    pub signal: i32,
    /// Time to obey.
    pub timeout: DurationMs,
}

/// How a run ended. Source of the fields: machines-api 3.5, `exit_event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code of the program.
    pub code: Option<i32>,
    /// Signal that ended the program.
    pub signal: Option<i32>,
    /// The kernel killed a process of the run for want of RAM.
    pub oom_killed: bool,
    /// A stop had been asked for.
    pub requested_stop: bool,
    /// The shim was lost and the run with it.
    pub shim_lost: bool,
    /// When the program ran; `None` when it never did.
    pub started_at: Option<UnixMs>,
    /// When it ended.
    pub exited_at: UnixMs,
    /// What ended the machine itself, if it was not its program or an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Whose fault the end of a machine is, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The guest's own, by its kernel.
    Guest(String),
    /// Of what the guest runs in.
    Host(String),
}

impl Exit {
    /// The end of a run that nobody saw end: it never ran, or its host went down under it.
    #[must_use]
    pub const fn unseen(started_at: Option<UnixMs>, exited_at: UnixMs) -> Self {
        Self {
            code: None,
            signal: None,
            oom_killed: false,
            requested_stop: false,
            shim_lost: false,
            started_at,
            exited_at,
            fault: None,
        }
    }

    /// Whether the restart policy counts it as a failure.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.oom_killed || self.shim_lost || self.code != Some(0)
    }

    /// The code as a shell shows it: 128 + n for signal n, 255 when unknown.
    #[must_use]
    pub fn shell_code(&self) -> i32 {
        self.code.or(self.signal.map(|n| 128 + n)).unwrap_or(255)
    }
}
