//! What the shell must make true after a step. Carrying an effect out twice does no harm.

use crate::cause::{Cause, Depth};
use crate::event::{Exit, StopOrder};
use crate::ids::RunId;
use crate::state::Run;
use crate::units::UnixMs;
use serde::{Deserialize, Serialize};

/// Something to make true. The order within one step is the order of carrying out.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Start or go on with the plan that prepares image and disk.
    Prepare,
    /// Bring the run up.
    Launch(Run),
    /// Ask the program to end, kill what is left after the timeout.
    Stop {
        /// The run.
        run: RunId,
        /// How.
        order: StopOrder,
    },
    /// Kill everything of the run. Like `Stop`, answered by `RunExited` in every case, also when
    /// nothing of it is alive any more.
    Kill {
        /// The run.
        run: RunId,
    },
    /// Freeze it or suspend it to disk.
    Sleep {
        /// The run.
        run: RunId,
        /// How deep.
        depth: Depth,
    },
    /// Thaw it or resume it from disk.
    Wake {
        /// The run.
        run: Run,
        /// From how deep.
        depth: Depth,
    },
    /// Tell the guest that a rest is coming.
    NotifyRest {
        /// The run.
        run: RunId,
        /// When.
        deadline: UnixMs,
    },
    /// Give back what the run held on the host (slot, exit file, socket).
    Release(Run),
    /// Start or go on with the plan that removes disk, addresses and records.
    Remove,
    /// Bring an owed wake to the gates again: `want(Up, cause)` into the machine's own inbox, so
    /// that it is decided after this step's other effects.
    WakeOwed {
        /// Why it is wanted.
        cause: Cause,
    },
    /// Make sure this timer fires at `at`; replaces one of the same kind. How long that is from now:
    /// [`crate::deadline::wait`].
    Arm {
        /// Which.
        kind: TimerKind,
        /// When.
        at: UnixMs,
    },
    /// Make sure this timer does not fire.
    Disarm(TimerKind),
}

/// Timers of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerKind {
    /// A transient state has lasted too long.
    Stuck,
    /// The restart policy's back-off is over.
    Backoff,
    /// The rest notice's deadline.
    Rest,
    /// An owed wake may be tried again.
    Owed,
}

/// A user-visible event that belongs to a step; stored in the same transaction as the new state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct News {
    /// What happened.
    pub kind: NewsKind,
    /// The state reached, as the API names it.
    pub status: String,
    /// `user` when a person or their program asked for it, else `flyd` (the name clients expect for
    /// the host).
    pub source: NewsSource,
    /// How a run ended, for exits.
    pub exit: Option<ExitNews>,
    /// The cause, in the words of [`crate::Cause`], when there is one.
    pub cause: Option<Cause>,
    /// A sentence, for failures.
    pub message: Option<String>,
}

/// Type of an event. Source: machines-api 3.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewsKind {
    /// Created.
    Launch,
    /// Start accepted or done.
    Start,
    /// The program ended.
    Exit,
    /// Stop accepted or done.
    Stop,
    /// Freeze or suspend accepted or done.
    Suspend,
    /// Thaw or resume done.
    Resume,
    /// Restart accepted.
    Restart,
    /// Update accepted or done.
    Update,
    /// Destroy accepted or done.
    Destroy,
    /// Something failed for good.
    Failure,
}

/// Who caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewsSource {
    /// A person or their program.
    User,
    /// The host.
    Flyd,
}

/// How a run ended, and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitNews {
    /// How.
    pub exit: Exit,
    /// The restart policy will start it again.
    pub restarting: bool,
    /// Restarts by policy so far.
    pub restart_count: u32,
}
