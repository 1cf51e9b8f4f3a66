//! Which gate stops which cause, and which call makes sense in which state.
//!
//! * [`gates`]: the gate table, and what a shut gate turns a wish into.
//! * [`calls`]: the table of states and calls.

pub mod calls;
mod decide;
pub mod gates;

pub use decide::{admit, admit_call};

use crate::units::{DurationMs, PerMille, UnixMs};
use serde::{Deserialize, Serialize};

/// What the gates look at, gathered by the shell in the same transaction as the decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GateFacts {
    /// A lease by somebody else than the caller.
    pub lease: Option<LeaseHeld>,
    /// How much of the data file system is free, if that is too little to let a machine write
    /// again that was frozen for it. Source: [`crate::pressure`].
    pub disk_pressure: Option<PerMille>,
    /// Why the host has no room for it; `None` when it has.
    pub no_capacity: Option<String>,
    /// Deny rules that say no to a wake: rule id. Unknown counts as true.
    pub deny_wake: Option<String>,
    /// Deny rules that say no to a rest: rule id.
    pub deny_rest: Option<String>,
    /// Live holds and hold rules: name of the first.
    pub hold: Option<String>,
    /// `autostart` is off for the service that was knocked on.
    pub autostart_off: bool,
    /// When it came to rest; governed wakes wait `min_rest` after it.
    pub rested_at: Option<UnixMs>,
    /// When its program last started; rests wait `min_run` after it.
    pub started_at: Option<UnixMs>,
    /// Governed wakes in the last hour.
    pub wakes_last_hour: u32,
    /// When the first of them will be an hour old.
    pub budget_grows_at: Option<UnixMs>,
    /// The circuit breaker is open until then.
    pub breaker_until: Option<UnixMs>,
    /// Back-off after wakes without progress, until then.
    pub no_progress_until: Option<UnixMs>,
    /// The app's rest permit refuses: `min_machines_running` would be undercut.
    pub no_rest_permit: bool,
    /// Depths below `Stop` that its engine can do, and whether a fallback is allowed.
    pub can_freeze: bool,
    /// Its engine can suspend to disk.
    pub can_suspend: bool,
}

/// A lease held by somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHeld {
    /// By whom.
    pub owner: String,
    /// Until.
    pub expires_at: UnixMs,
}

/// What becomes of a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// Do it.
    Go,
    /// It is so already, or on its way there.
    Already,
    /// Not now; do it when the gate opens. Durable.
    Owed {
        /// Which gate.
        gate: Gate,
        /// Earliest moment to try again.
        not_before: UnixMs,
    },
    /// No.
    Refused(Refused),
}

/// A gate. The order is the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Somebody else's lease.
    Lease,
    /// It was frozen because the data file system is nearly full, which it still is.
    DiskPressure,
    /// Capacity of the host.
    Capacity,
    /// Explicit hold-down.
    HoldDown,
    /// A deny rule.
    Deny,
    /// `autostart` off.
    Autostart,
    /// A hold, or a hold rule.
    Hold,
    /// [`MIN_REST`] since the last rest.
    MinRest,
    /// [`MIN_RUN`] since the last start.
    MinRun,
    /// [`WAKE_BUDGET_PER_HOUR`].
    WakeBudget,
    /// Circuit breaker.
    Breaker,
    /// Back-off without progress.
    Progress,
    /// The app's rest permit.
    RestPermit,
}

/// A governed wake waits this long after a rest. Source: design, section 7.
pub const MIN_REST: DurationMs = DurationMs(5_000);

/// A rest by rule or idleness waits this long after a start. Source: design, section 7.
pub const MIN_RUN: DurationMs = DurationMs(30_000);

/// Governed wakes of one machine within an hour. Source: design, section 7.
pub const WAKE_BUDGET_PER_HOUR: u32 = 20;

/// Why a request was refused; nothing has changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// Somebody else holds the lease.
    Lease(LeaseHeld),
    /// No room on the host: the text for the user.
    Capacity(String),
    /// It was frozen for want of room on the data file system, and there is none yet.
    DiskPressure {
        /// How much is free.
        free: PerMille,
    },
    /// Held down explicitly.
    HeldDown {
        /// By whom, and why.
        reason: String,
    },
    /// A rule says no.
    Denied {
        /// Its id.
        rule: String,
    },
    /// `autostart` is off.
    AutostartOff,
    /// Something keeps it awake.
    KeptAwake {
        /// Which gate.
        gate: Gate,
        /// Name of the hold or rule, if it has one.
        by: Option<String>,
        /// Earliest moment to try again, if it is known.
        not_before: Option<UnixMs>,
    },
    /// The request makes no sense in this state: the state's API name and what was asked.
    State {
        /// API name of the state.
        state: &'static str,
        /// What was asked.
        asked: Asked,
    },
    /// Its engine cannot do this depth.
    Unsupported {
        /// A sentence for the user.
        message: &'static str,
    },
    /// The event belongs to another run than the current one.
    StaleRun,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Start.
    Start,
    /// Stop.
    Stop,
    /// Suspend or freeze.
    Suspend,
    /// Restart.
    Restart,
    /// Update.
    Update,
    /// Destroy.
    Destroy,
    /// Exec, signal and everything else that needs the program to run.
    Guest,
    /// Something the host reported.
    Report,
}

#[cfg(test)]
mod tests;
