//! A self all at once, and what a peer sees of it.

use super::{
    Alarm, Decision, Fact, Hold, HoldDown, InboxCounts, Intent, Moment, Rest, TraceHead, Wake,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Answer to `GET self`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Whole {
    /// Its revision: grows with each change that anybody can see.
    pub revision: u64,
    /// The machine.
    pub machine: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// What it is for.
    pub intent: Intent,
    /// Its facts, by key.
    pub memory: BTreeMap<String, Fact>,
    /// What is in its inbox.
    pub inbox: InboxCounts,
    /// What keeps it awake, by name.
    pub holds: BTreeMap<String, Hold>,
    /// Its alarms, by name.
    pub alarms: BTreeMap<String, Alarm>,
    /// What the platform noticed.
    pub signals: Signals,
    /// What it has used.
    pub usage: Usage,
    /// Its policy; `null` without one.
    pub policy: Option<PolicyNamed>,
    /// What was last decided; `null` before the first time.
    pub decision: Option<Decision>,
    /// Why it was last woken; `null` before the first time.
    pub wake: Option<Wake>,
    /// Its own `rest until`.
    pub rest: Option<Rest>,
    /// An explicit hold-down.
    pub hold_down: Option<HoldDown>,
    /// The end of its trace.
    pub trace: TraceHead,
}

/// What the platform noticed about a machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signals {
    /// Exit code of the last run, 128 + n for signal n.
    pub last_exit: Option<i32>,
    /// The last run ended for want of RAM.
    pub oom: bool,
    /// Wakes in a row that did not reach `started`.
    pub wake_failures: u32,
    /// Governed wakes in a row that ended without ack, fact or request.
    pub wakes_without_progress: u32,
    /// The last resume had to start from nothing.
    pub resumed_cold: bool,
}

/// Answer to `GET self/signals`: what the host sees of a machine now. What is absent is unknown, to
/// rules too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SignalsNow {
    /// The machine's revision.
    pub revision: u64,
    /// Its state.
    pub state: String,
    /// Seconds without work; 0 while it is busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_s: Option<u64>,
    /// Seconds since its program started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_s: Option<u64>,
    /// Seconds since it came to rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest_s: Option<u64>,
    /// Requests under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inflight: Option<u32>,
    /// Inbound connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conns_in: Option<u32>,
    /// Outbound connections with bytes in the last minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conns_out: Option<u32>,
    /// Seconds since a byte passed its link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_idle_s: Option<u64>,
    /// CPUs in use, mean of the last minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_1m: Option<f64>,
    /// Machines of its app that are up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_running: Option<u32>,
    /// Seconds since its last `beat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beat_age_s: Option<u64>,
}

/// What a machine has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Of the day in which something was last counted.
    pub day: Tally,
    /// Of the month.
    pub month: Tally,
    /// Since when it is up; what lies between is not yet counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_since: Option<Moment>,
    /// Governed wakes of the last hour.
    pub wakes_last_hour: u32,
}

/// What was counted in one stretch of the calendar (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// When the stretch began.
    pub start: Moment,
    /// Seconds up, without the present run.
    pub started_s: u64,
    /// Seconds of CPU time.
    pub cpu_s: u64,
    /// Governed wakes.
    pub wakes: u32,
}

/// Which policy a machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyNamed {
    /// Name of its content.
    pub hash: String,
    /// When it was set.
    pub at: Moment,
    /// By whom.
    pub by: String,
    /// At which revision.
    pub rev: u64,
}

/// Answer to `GET /v1/peers/{name}/memory`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeerMemory {
    /// Id of the peer.
    pub machine: String,
    /// Its revision.
    pub revision: u64,
    /// The facts that count, without the secret ones.
    pub facts: BTreeMap<String, Fact>,
}

/// Answer to `GET /v1/peers/{name}/state`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerState {
    /// Id of the peer.
    pub machine: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Its revision.
    pub revision: u64,
    /// Seconds since its last `beat`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
}
