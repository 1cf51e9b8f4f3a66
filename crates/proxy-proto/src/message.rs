//! Messages of both directions.

pub use model::cause::KnockRequest;

use crate::route::{AppRoute, MachineRoute};
use model::{DurationMs, MachineId, UnixMs};
use serde::{Deserialize, Serialize};

/// What control says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToProxy {
    /// First: who speaks.
    Welcome {
        /// [`crate::VERSION`].
        version: u16,
        /// Build of control.
        build: String,
    },
    /// A new or changed app. Boxed, as are machines: they are much larger than the rest.
    App(Box<AppRoute>),
    /// A new or changed machine.
    Machine(Box<MachineRoute>),
    /// It is gone for good.
    AppGone {
        /// Which.
        app: String,
    },
    /// As above.
    MachineGone {
        /// Which.
        machine: MachineId,
    },
    /// All records have been sent: the proxy drops those that were not among them.
    Complete,
    /// Answer to [`FromProxy::Knock`].
    Knocked {
        /// The knock's number.
        ticket: u64,
        /// What came of it.
        outcome: KnockOutcome,
    },
    /// From now on nothing new goes to the machine; answered by [`FromProxy::Quiet`]. What is new
    /// meanwhile goes to others or knocks.
    Quiesce {
        /// Number of the question.
        ticket: u64,
        /// Which.
        machine: MachineId,
        /// Only if nothing is under way; else the machine stays in use and the answer says so.
        only_if_idle: bool,
    },
    /// The quiesced machine is used again: it stays up.
    Resume {
        /// Which.
        machine: MachineId,
    },
    /// The machine is about to end: connections that can be told to go away are told.
    Drain {
        /// Which.
        machine: MachineId,
    },
    /// What the proxy knows: answered by [`FromProxy::Description`].
    Describe {
        /// Number of the question.
        ticket: u64,
        /// Only of this app.
        #[serde(default)]
        app: Option<String>,
    },
}

/// What the proxy says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromProxy {
    /// First: who speaks.
    Hello {
        /// [`crate::VERSION`].
        version: u16,
        /// Build of the proxy.
        build: String,
        /// Its process.
        pid: u32,
        /// When it began, in milliseconds of the host's uptime: of several proxies the last one has
        /// the doors, whoever connects first.
        #[serde(default)]
        begun_ms: u64,
    },
    /// A visitor wants the machine. One knock for all that wait.
    Knock {
        /// Chosen by the proxy; comes back with the answer.
        ticket: u64,
        /// Which.
        machine: MachineId,
        /// Port inside the machine that must listen before the visitor is let through.
        internal_port: u16,
        /// The first request, when it is one: deny rules may read it.
        #[serde(default)]
        request: Option<KnockRequest>,
    },
    /// How much a machine has to do, when that has changed: at once between nothing and something,
    /// else at most once a second.
    Load(Load),
    /// Answer to [`ToProxy::Quiesce`].
    Quiet {
        /// The question's number.
        ticket: u64,
        /// Its load; with `only_if_idle` and a load the machine was left in use.
        load: Load,
    },
    /// The result of a check has changed.
    Checked {
        /// Which machine.
        machine: MachineId,
        /// Name of the check.
        check: String,
        /// How it is.
        health: Health,
        /// What was seen, in words.
        output: String,
        /// When.
        at: UnixMs,
    },
    /// Answer to [`ToProxy::Describe`].
    Description {
        /// The question's number.
        ticket: u64,
        /// What the proxy knows.
        description: Box<Description>,
    },
}

/// What came of a knock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum KnockOutcome {
    /// The port listens; its record as of now, so that the visitor need not wait for it.
    Ready {
        /// With state `Up`.
        route: Box<MachineRoute>,
        /// Why it was woken or was up, in words of a decision header.
        decision: String,
        /// Where the time went.
        timing: KnockTiming,
    },
    /// It is not to be had.
    Refused {
        /// Stable word.
        code: String,
        /// A sentence for people.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// When it may be worth trying again.
        retry_after: Option<DurationMs>,
        /// For whom.
        scope: RefusalScope,
    },
}

/// Whom a refused knock concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalScope {
    /// Everybody who waits for the machine.
    Machine,
    /// Those who waited when control was asked: the machine was woken and did not stay, which says
    /// nothing of the next wake.
    Wake,
    /// Nobody for good: visitors are held and knock again when it may be worth trying (a lease that
    /// ends, mostly).
    Moment,
}

/// Where the time of a wake went, in microseconds; what did not happen is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnockTiming {
    /// Until admitted.
    pub admission_us: u64,
    /// Writing down the intent.
    pub commit_us: u64,
    /// Slot and addresses.
    pub net_us: u64,
    /// Disk.
    pub disk_us: u64,
    /// Engine until the first instruction.
    pub engine_us: u64,
    /// From there until the port listened.
    pub listen_us: u64,
}

/// How much a machine has to do, as the proxy sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Which.
    pub machine: MachineId,
    /// Requests under way, WebSockets among them.
    pub n_requests: u32,
    /// Open connections of visitors that are bound to it.
    pub n_connections: u32,
    /// WebSockets and other upgraded connections.
    pub n_upgraded: u32,
    /// Load of its busiest service above its soft limit, if any is.
    pub is_over_soft: bool,
    /// When the last byte of a visitor was passed on, either way.
    pub last_at: Option<UnixMs>,
}

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It passes.
    Passing,
    /// It fails, within its grace.
    Warning,
    /// It fails.
    Critical,
}

/// What the proxy knows, for people and metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Open doors.
    pub doors: Vec<Door>,
    /// Machines and their loads.
    pub machines: Vec<DescribedMachine>,
    /// Counters and gauges since the proxy began: name with labels in Prometheus' form, value.
    pub metrics: Vec<(String, f64)>,
    /// Machines that did not fit into the answer.
    #[serde(default)]
    pub n_left_off: u32,
}

/// A port on which visitors are awaited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Address and port.
    pub address: String,
    /// Apps behind it.
    pub apps: Vec<String>,
    /// Why it is not open, if it is not, or which app is kept out by another.
    pub problem: Option<String>,
}

/// A machine as the proxy sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DescribedMachine {
    /// Its record.
    pub route: MachineRoute,
    /// What it has to do.
    pub load: Load,
    /// Names of checks that do not pass.
    pub failing: Vec<String>,
    /// Visitors held for it.
    pub n_held: u32,
}
