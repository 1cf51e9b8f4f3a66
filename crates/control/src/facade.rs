//! What others may ask of control, as types.

mod images;
mod selfhood;

pub use images::*;
pub use selfhood::*;

use guest_proto::message::{ExecOrders, StartFailure};
use model::units::DurationMs;
use model::{AppName, EventId, MachineSpec, VersionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::MachineRecord;
use tokio::sync::mpsc;

/// A machine to create.
#[derive(Clone, Debug)]
pub struct CreateMachine {
    /// Its app; must exist.
    pub app: AppName,
    /// Its name, unique in the app; drawn when absent.
    pub name: Option<String>,
    /// Region as the caller wrote it; any valid expression means this host.
    pub region: Option<String>,
    /// Parsed configuration.
    pub spec: MachineSpec,
    /// The host chooses the engine: that of [`Self::spec`] does not count.
    pub leaves_engine_open: bool,
    /// Configuration as the caller wrote it, echoed in answers.
    pub config: serde_json::Value,
    /// Prepare, but do not start.
    pub skip_launch: bool,
    /// Create it cordoned.
    pub is_cordoned: bool,
    /// Take a lease at creation.
    pub lease: Option<LeaseWish>,
    /// The text of its policy; wins over that of its image.
    pub policy: Option<String>,
    /// Least version of its app's secrets.
    pub min_secrets_version: Option<u64>,
    /// Who asks, for the event.
    pub actor: String,
    /// Who asks.
    pub access: ImageAccess,
}

/// A machine that was created.
#[derive(Clone, Debug)]
pub struct Created {
    /// The machine.
    pub record: MachineRecord,
    /// Why the registry of its image was not asked, or what came of it, when what was here before is
    /// used: for the header `Dormouse-Image: cached; reason=…`.
    pub cached_because: Option<String>,
}

/// A new version for a machine.
#[derive(Clone, Debug)]
pub struct UpdateMachine {
    /// Parsed configuration.
    pub spec: MachineSpec,
    /// Configuration as the caller wrote it.
    pub config: serde_json::Value,
    /// Only if this is the current version.
    pub current_version: Option<VersionId>,
    /// Start it afterwards also when it was not up.
    pub launch: bool,
    /// The text of its new policy; with `None` it keeps what it has, unless that came with its image.
    pub policy: Option<String>,
    /// Least version of its app's secrets.
    pub min_secrets_version: Option<u64>,
    /// Who asks.
    pub access: ImageAccess,
}

/// A lease to take or to extend.
#[derive(Clone, Debug)]
pub struct LeaseWish {
    /// How long.
    pub ttl: DurationMs,
    /// Free text.
    pub description: String,
    /// Who.
    pub owner: String,
    /// The nonce already held, to extend.
    pub nonce: Option<String>,
}

/// Which machines to list.
#[derive(Clone, Debug, Default)]
pub struct MachineFilter {
    /// API names of states; empty is all.
    pub states: Vec<String>,
    /// With tombstones.
    pub with_destroyed: bool,
    /// All of these labels.
    pub metadata: BTreeMap<String, String>,
}

/// How a stop differs from the machine's configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct StopOverride {
    /// Signal number.
    pub signal: Option<i32>,
    /// Time to obey.
    pub timeout: Option<DurationMs>,
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// API name of the state before.
    pub previous_state: String,
    /// API name of the state now.
    pub state: String,
    /// Where the time went, in microseconds by part.
    pub timings: Vec<(String, u32)>,
}

/// What to wait for.
#[derive(Clone, Debug)]
pub struct WaitFor {
    /// API names of states, any of them; `settled` is any settled state.
    pub states: Vec<String>,
    /// Longest wait, at most 60 s.
    pub timeout: DurationMs,
    /// Only this version counts.
    pub version: Option<VersionId>,
    /// Only look at events after this one.
    pub from_event: Option<EventId>,
}

/// The state that ended a wait.
#[derive(Clone, Debug)]
pub struct Waited {
    /// API name of the state.
    pub state: String,
    /// The version.
    pub version: VersionId,
    /// The newest event.
    pub event: Option<EventId>,
}

/// A command to run to its end.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// What to run.
    pub orders: ExecOrders,
    /// All of its input.
    pub stdin: Vec<u8>,
    /// Longest run, at most 60 s.
    pub timeout: DurationMs,
}

/// What a command left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutcome {
    /// Exit code; 128 + n for signal n.
    pub exit_code: i32,
    /// Signal that ended it, 0 for none.
    pub exit_signal: i32,
    /// Its output, at most [`EXEC_OUTPUT_MAX_BYTES`].
    pub stdout: Vec<u8>,
    /// Its error output, at most [`EXEC_OUTPUT_MAX_BYTES`].
    pub stderr: Vec<u8>,
    /// Whether output was cut at the limit.
    pub is_truncated: bool,
}

/// Most output kept of a one-shot exec, per pipe: an API answer stays small enough to hold in RAM.
pub const EXEC_OUTPUT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// A command attached to its caller.
#[derive(Debug)]
pub struct ExecStream {
    /// Toward the command; dropping it ends its input.
    pub input: mpsc::Sender<ExecInput>,
    /// From the command; ends after [`ExecOutput::Ended`] or [`ExecOutput::Failed`].
    pub output: mpsc::Receiver<ExecOutput>,
}

/// Toward an attached command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecInput {
    /// Bytes of its input.
    Bytes(Vec<u8>),
    /// New terminal size.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// End of its input.
    End,
}

/// From an attached command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutput {
    /// Bytes of its output (or of its terminal).
    Stdout(Vec<u8>),
    /// Bytes of its error output.
    Stderr(Vec<u8>),
    /// It ended.
    Ended {
        /// Exit code; 128 + n for signal n.
        exit_code: i32,
    },
    /// It could not be started, or its machine went away.
    Failed {
        /// Why, when init said so.
        reason: Option<StartFailure>,
        /// A sentence for the user.
        message: String,
    },
}

/// One line of a machine's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Which part of a log.
#[derive(Clone, Copy, Debug)]
pub struct LogQuery {
    /// Only the last lines, at most 10,000.
    pub tail: usize,
    /// Go on with new lines until the caller drops the receiver.
    pub follow: bool,
}

/// Metered use of a machine, an app or the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeteredUse {
    /// Milliseconds in `started`.
    pub started_ms: u64,
    /// CPU microseconds used by ended runs.
    pub cpu_us: u64,
}

/// One line of `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable name, e.g. `cgroup`.
    pub check: String,
    /// How it is.
    pub level: FindingLevel,
    /// A sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How a finding is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingLevel {
    /// Works.
    Ok,
    /// Works with less.
    Degraded,
    /// Does not work.
    Missing,
}
