//! How answers look on the wire that are written by types of other rooms, for the description of the API.
//!
//! Those rooms know nothing of such descriptions. Nothing here is ever made: each only lends its shape.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// How deep a machine sleeps: [`model::Depth`].
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Processes stand still, RAM stays.
    Freeze,
    /// RAM goes to disk.
    Suspend,
    /// RAM is dropped.
    Stop,
}

/// What somebody wants of a machine: [`model::Want`].
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// Running.
    Up,
    /// Asleep at this depth.
    Down(Depth),
}

/// Why somebody wants a machine up or down: [`model::Cause`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct Cause {
    /// `api`, `guest`, `knock`, `rule`, `alarm`, `message`, `peer`, `rest_until`, `idle`, …
    pub cause: String,
    /// What belongs to that kind of cause.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A message as its sender writes it: [`govern::post::Post`].
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Post {
    /// The text; what is not a text is kept as compact JSON.
    pub body: Value,
    /// Posting it twice is posting it once; the header `Idempotency-Key` says the same.
    pub id: Option<String>,
    /// It wakes the machine by itself, without a rule that reads the inbox.
    pub wake: Option<bool>,
    /// Machines that it has passed.
    pub hops: Option<u8>,
}

/// An entry of a trace, exactly as it is hashed: [`govern::TraceEntry`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct TraceEntry {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When, in Unix milliseconds.
    pub at: u64,
    /// In which boot of the host.
    pub boot: String,
    /// The hash of the entry before.
    pub prev_hash: String,
    /// SHA-256 of all the other fields, as JSON with sorted keys and no blanks.
    pub hash: String,
    /// Who did what, what changed, what was decided.
    #[serde(flatten)]
    pub body: Map<String, Value>,
}

/// Everything that a machine remembers, to be kept or moved: [`govern::Export`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct Export {
    /// Version of the shape.
    pub v: u32,
    /// When it was made, in Unix milliseconds.
    pub at: u64,
    /// Of which machine.
    pub machine: String,
    /// The record, the policy, the messages, the trace.
    #[serde(flatten)]
    pub parts: Map<String, Value>,
}

/// A line of a machine's output: [`control::LogLine`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogLine {
    /// When, RFC 3339 with nanoseconds.
    pub at: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The text, without its end of line; at most 16 KiB.
    pub text: String,
    /// The line goes on in the next one.
    pub is_partial: bool,
}

/// A line of the doctor: [`control::Finding`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct HostFinding {
    /// Stable name, e.g. `cgroup`.
    pub check: String,
    /// `ok`, `degraded` (works with less), `missing` (does not work).
    pub level: String,
    /// A sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A process inside a machine: [`guest_proto::message::Process`].
#[derive(Debug, Serialize, JsonSchema)]
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

/// A listening socket: [`guest_proto::message::ListenSocket`].
#[derive(Debug, Serialize, JsonSchema)]
pub struct ListenSocket {
    /// `tcp` or `udp`.
    pub proto: String,
    /// `address:port`, IPv6 in brackets.
    pub address: String,
}

/// What the run of a machine uses now, as its shim counts it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Stats {
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

/// What the proxy has open, as it describes itself.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProxyDescription {
    /// Open doors.
    pub doors: Vec<Door>,
    /// Machines and their loads.
    pub machines: Vec<ProxyMachine>,
    /// Counters and gauges since the proxy began: name with labels in Prometheus' form, value.
    pub metrics: Vec<(String, f64)>,
    /// Machines that did not fit into the answer.
    pub n_left_off: u32,
    /// Proxies whose doors another one has, and which still serve who came in by them before.
    pub replaced: Vec<ReplacedProxy>,
}

/// A proxy whose doors another one has.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ReplacedProxy {
    /// Its process.
    pub pid: u32,
    /// What machines have to do for its visitors.
    pub loads: Vec<Map<String, Value>>,
    /// Machines that did not fit into the answer.
    pub n_left_off: u32,
}

/// A port on which visitors are awaited.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Door {
    /// Address and port.
    pub address: String,
    /// Apps behind it.
    pub apps: Vec<String>,
    /// Why it is not open, if it is not, or which app is kept out by another.
    pub problem: Option<String>,
}

/// A machine as the proxy sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProxyMachine {
    /// Its record.
    pub route: Map<String, Value>,
    /// What it has to do.
    pub load: Map<String, Value>,
    /// Names of checks that do not pass.
    pub failing: Vec<String>,
    /// Visitors held for it.
    pub n_held: u32,
}

/// Answer to `GET /v1/tokens/current`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CurrentTokens {
    /// What the caller holds: one.
    pub tokens: Vec<CurrentToken>,
}

/// What a caller holds.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CurrentToken {
    /// Its id; `uid:<n>` for a process of the host, `machine:<id>` for a machine.
    pub token_id: String,
    /// Its name.
    pub user: Option<String>,
    /// The organisation.
    pub org_slug: String,
    /// The organisation.
    pub organization: String,
    /// Apps that it reaches; `*` is all.
    pub apps: Vec<String>,
    /// The one machine that it reaches.
    pub restricted_to_machine: Option<String>,
    /// The machine that calls.
    pub source_machine_id: Option<String>,
}

/// Answer to `DELETE …/lease`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LeaseReleased {
    /// `success`.
    pub status: String,
    /// `{"ok": true}`.
    pub data: Map<String, Value>,
}
