//! The states of a machine, and the data that exists in each.
//!
//! ```text
//!            prepared             launch            program runs
//! Creating ───────────► Stopped ────────► Starting ─────────────► Started ◄────────┐
//!    │ failed              ▲  ▲               │ failed             │  │  │ freeze,   │ thaw,
//!    ▼                     │  │               ▼                    │  │  │ suspend   │ resume
//!  Failed ◄────────────────┼──┴──────── (Failed | Stopped)         │  │  ▼           │
//!    │                     │       exited          stop            │  │ Suspending ─► Suspended
//!    │                     └───────────── Stopping ◄───────────────┘  │                  │
//!    │                                        ▲                       │ exited           │ stop
//!    │                                        └───────────────────────┼──────────────────┘
//!    │            Backoff ◄── restart policy ─────────────────────────┘
//!    └──► Destroying ──► Destroyed      (from every state)
//! ```
//!
//! A transient state (`Creating`, `Starting`, `Resting`, `Stopping`, `Suspending`, `Backoff`,
//! `Updating`, `Destroying`, and `Suspended` while a wake is under way) has an owner (the machine's
//! task), a deadline ([`crate::deadline`]) and an exit.

mod view;

use crate::cause::{Cause, Depth};
use crate::event::{Exit, StopOrder};
use crate::ids::{BootId, RunId, SlotId};
use crate::restart::RestartLog;
use crate::units::UnixMs;
use serde::{Deserialize, Serialize};

/// All that decides about one machine's life: the value that `step` takes and returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Where it is now.
    pub state: State,
    /// Grows with each change; a reader may wait for it.
    pub revision: u64,
    /// Restarts by policy.
    pub restarts: RestartLog,
    /// A wake that a gate stopped and that will be done when the gate opens.
    pub owed: Option<OwedWake>,
    /// Explicitly held down.
    pub hold_down: Option<HoldDown>,
    /// What its `Stuck` timer did in this state.
    #[serde(default)]
    pub nudges: Nudges,
    /// A plan that failed for good, or was held up for too long: what would launch it takes that
    /// plan up again first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unprepared: Option<Preparation>,
}

/// A plan that makes a machine ready for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preparation {
    /// Its first one: image and disk.
    Create,
    /// That of a new version.
    Update,
}

/// How often a state has been pushed on because it lasted too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nudges {
    /// How often.
    pub count: u32,
    /// The last time.
    pub at: UnixMs,
}

/// One run: from a start to the exit that ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Names every resource of the run.
    pub id: RunId,
    /// Its network and user namespace; `None` on an engine that needs none.
    pub slot: Option<SlotId>,
    /// Boot of the host it belongs to: after a reboot it is known to be dead.
    pub boot: BootId,
    /// When the start was accepted.
    pub accepted_at: UnixMs,
    /// When the program ran; `None` before.
    pub started_at: Option<UnixMs>,
}

/// Where a machine is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// The image and the disk are being prepared.
    Creating {
        /// Since.
        since: UnixMs,
        /// Start it when it is ready (no `skip_launch`).
        launch: bool,
    },
    /// A start has been accepted.
    Starting {
        /// The run.
        run: Run,
        /// Why.
        cause: Cause,
        /// A rest that arrived meanwhile: done as soon as the program runs.
        then: Option<Rest>,
    },
    /// The program runs.
    Started {
        /// The run.
        run: Run,
    },
    /// The program runs and has been told that a rest is coming; it may still put a hold.
    Resting {
        /// The run.
        run: Run,
        /// What was decided.
        rest: Rest,
        /// When the rest happens unless vetoed.
        deadline: UnixMs,
        /// Vetoes so far.
        vetoes: u8,
    },
    /// The program was told to end.
    Stopping {
        /// The run.
        run: Run,
        /// Since.
        since: UnixMs,
        /// When everything left is killed (signal time plus timeout).
        deadline: UnixMs,
        /// How it was told.
        order: StopOrder,
        /// What follows.
        then: AfterStop,
    },
    /// No process, no slot, no RAM.
    Stopped {
        /// Since.
        since: UnixMs,
        /// How the last run ended; `None` when there was none.
        exit: Option<Exit>,
    },
    /// On its way to freeze or suspend. A wake cancels it or runs right after.
    Suspending {
        /// The run.
        run: Run,
        /// How deep.
        depth: Depth,
        /// Since.
        since: UnixMs,
        /// Why; absent in records of old.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
        /// A wake that arrived meanwhile.
        wake: Option<Cause>,
    },
    /// Frozen, or suspended to disk.
    Suspended {
        /// The run (its processes stand still at depth `Freeze`; gone, but to be resumed, at
        /// `Suspend`).
        run: Run,
        /// How deep.
        depth: Depth,
        /// Since.
        since: UnixMs,
        /// RAM still held, in bytes.
        ram_bytes: u64,
        /// Why; absent in records of old.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
        /// A wake that is under way: the processes run again when it is done.
        wake: Option<Waking>,
    },
    /// Waiting to be started again by the restart policy.
    Backoff {
        /// When.
        until: UnixMs,
        /// How the last run ended.
        exit: Exit,
    },
    /// A new version is being put in place.
    Updating {
        /// Since.
        since: UnixMs,
        /// Start it afterwards.
        launch: bool,
        /// The run that must end first.
        run: Option<Run>,
        /// How that run was told to end; `None` is killed, or there is no run.
        order: Option<StopOrder>,
    },
    /// It cannot be brought up.
    Failed {
        /// Since.
        since: UnixMs,
        /// Stable word, e.g. `image_missing`, `prepare_failed`.
        code: String,
        /// A sentence for the user.
        message: String,
    },
    /// Being removed.
    Destroying {
        /// Since.
        since: UnixMs,
        /// The run that must end first.
        run: Option<Run>,
    },
    /// Removed; a tombstone.
    Destroyed {
        /// Since.
        since: UnixMs,
    },
}

/// A decided rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// How deep.
    pub depth: Depth,
    /// Why.
    pub cause: Cause,
    /// How the program is asked to stop, at depth `Stop`.
    pub order: StopOrder,
}

/// A thaw or resume under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waking {
    /// Why.
    pub cause: Cause,
    /// Since.
    pub since: UnixMs,
}

/// What follows a stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "then", rename_all = "snake_case")]
pub enum AfterStop {
    /// Nothing: it stays stopped.
    Stay,
    /// A start: a restart, or a wake that arrived during the stop.
    Start {
        /// Why.
        cause: Cause,
    },
}

/// A wake that a gate stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwedWake {
    /// Why it is owed.
    pub cause: Cause,
    /// Since.
    pub since: UnixMs,
    /// Earliest moment to try again.
    pub not_before: UnixMs,
}

/// Explicitly held down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldDown {
    /// By whom, and why.
    pub reason: String,
    /// Until; `None` is until released.
    pub until: Option<UnixMs>,
}
