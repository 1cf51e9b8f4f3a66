//! What each call does in each state. Source: machines-api 3.4.

use super::Asked;
use crate::state::{AfterStop, State};
use Answer::{Already as Same, Busy, Go, Gone, Wrong};

/// A call of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
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
    /// Destroy what is down.
    Destroy,
    /// Destroy also what is up.
    ForceDestroy,
    /// Exec, signal and everything else that needs the program to run.
    Guest,
}

/// What a call gets in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done.
    Go,
    /// Nothing needs to be done (200).
    Already,
    /// Another change is under way; the same call may work in a moment (409).
    Busy,
    /// It makes no sense in this state (412).
    Wrong,
    /// The machine does not exist any more (404).
    Gone,
}

impl Call {
    /// The word for messages.
    #[must_use]
    pub const fn asked(self) -> Asked {
        match self {
            Self::Start => Asked::Start,
            Self::Stop => Asked::Stop,
            Self::Suspend => Asked::Suspend,
            Self::Restart => Asked::Restart,
            Self::Update => Asked::Update,
            Self::Destroy | Self::ForceDestroy => Asked::Destroy,
            Self::Guest => Asked::Guest,
        }
    }

    const fn column(self) -> usize {
        match self {
            Self::Start => 0,
            Self::Stop => 1,
            Self::Suspend => 2,
            Self::Restart => 3,
            Self::Update => 4,
            Self::Destroy => 5,
            Self::ForceDestroy => 6,
            Self::Guest => 7,
        }
    }
}

type Row = [Answer; 8];

// Columns: start, stop, suspend, restart, update, destroy, destroy by force, exec and signal.
const CREATING: Row = [Wrong, Go, Wrong, Wrong, Go, Go, Go, Wrong];
const STARTING: Row = [Busy, Go, Wrong, Busy, Go, Wrong, Go, Wrong];
const STARTING_TO_REST: Row = [Go, Go, Wrong, Busy, Go, Wrong, Go, Wrong];
const STARTED: Row = [Same, Go, Go, Go, Go, Wrong, Go, Go];
const RESTING: Row = [Go, Go, Go, Go, Go, Wrong, Go, Go];
const STOPPING: Row = [Wrong, Go, Wrong, Busy, Go, Wrong, Go, Wrong];
const RESTARTING: Row = [Busy, Go, Wrong, Busy, Go, Wrong, Go, Wrong];
const BACKOFF: Row = [Go, Go, Wrong, Go, Go, Wrong, Go, Wrong];
const STOPPED: Row = [Go, Same, Wrong, Go, Go, Go, Go, Wrong];
const SUSPENDING: Row = [Go, Go, Same, Busy, Go, Wrong, Go, Wrong];
const SUSPENDED: Row = [Go, Go, Same, Go, Go, Go, Go, Wrong];
const FAILED: Row = [Go, Go, Wrong, Go, Go, Go, Go, Wrong];
const UPDATING: Row = [Wrong, Go, Wrong, Wrong, Busy, Wrong, Go, Wrong];
const DESTROYING: Row = [Wrong, Same, Wrong, Wrong, Wrong, Same, Same, Wrong];
const DESTROYED: Row = [Gone; 8];

/// What `call` gets in `state`, before lease and gates.
///
/// A second stop is let through: it may take back a start that was to follow, or hurry the first.
/// Starting what is about to rest takes the rest back.
#[must_use]
pub const fn answer(state: &State, call: Call) -> Answer {
    row(state)[call.column()]
}

const fn row(state: &State) -> &'static Row {
    match state {
        State::Creating { .. } => &CREATING,
        State::Starting { then: Some(_), .. } => &STARTING_TO_REST,
        State::Starting { then: None, .. } | State::Suspended { wake: Some(_), .. } => &STARTING,
        State::Started { .. } => &STARTED,
        State::Resting { .. } => &RESTING,
        State::Stopping { then: AfterStop::Stay, .. } => &STOPPING,
        State::Stopping { then: AfterStop::Start { .. }, .. } => &RESTARTING,
        State::Backoff { .. } => &BACKOFF,
        State::Stopped { .. } => &STOPPED,
        State::Suspending { .. } => &SUSPENDING,
        State::Suspended { wake: None, .. } => &SUSPENDED,
        State::Failed { .. } => &FAILED,
        State::Updating { .. } => &UPDATING,
        State::Destroying { .. } => &DESTROYING,
        State::Destroyed { .. } => &DESTROYED,
    }
}
