//! What can go wrong, and the four things every error knows: whose fault, whether a retry helps, a
//! stable code, and a next step.

use model::{MachineId, Refused};
use std::io;
use std::path::{Path, PathBuf};

/// Why control did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A rule of the machine's life says no.
    #[error("refused in the machine's present state")]
    Refused(Refused),
    /// No such thing.
    #[error("{what} not found")]
    NotFound {
        /// `app`, `machine`, `image`, `lease`, `version`, `metadata`, `token`.
        what: &'static str,
    },
    /// The name is taken.
    #[error("{what} `{name}` exists already")]
    Taken {
        /// `app` or `machine`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The request cannot be right.
    #[error("{message}")]
    Invalid {
        /// Stable word.
        code: &'static str,
        /// A sentence for the user.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// The caller's idea of the current version is out of date.
    #[error("the current version is {current}")]
    StaleVersion {
        /// The current version.
        current: String,
    },
    /// The machine did not reach the state in time.
    #[error("machine failed to reach desired state, {wanted}, currently {actual}")]
    WaitTimeout {
        /// What was waited for.
        wanted: String,
        /// What it is.
        actual: String,
    },
    /// The program could not be started.
    #[error("{message}")]
    StartFailed {
        /// Stable word, e.g. `not_found`.
        code: String,
        /// A sentence for the user.
        message: String,
    },
    /// Too many requests wait for this machine.
    #[error("{queued} requests are waiting for machine {machine} already")]
    Busy {
        /// The machine.
        machine: MachineId,
        /// How many wait.
        queued: usize,
    },
    /// The command ran longer than its timeout.
    #[error("the command did not end within {timeout_ms} ms")]
    ExecTimeout {
        /// The timeout.
        timeout_ms: u64,
    },
    /// The store cannot take the change.
    #[error("the store could not take the change")]
    Store(#[from] store::StoreError),
    /// The image cannot be had.
    #[error("the image could not be prepared")]
    Image(#[from] image::ImageError),
    /// The disk cannot be had.
    #[error("the disk could not be prepared")]
    Disk(#[from] disk::DiskError),
    /// The network cannot be had.
    #[error("the network could not be prepared")]
    Net(#[from] net::Error),
    /// The shim cannot be reached or spoke nonsense.
    #[error("{message}")]
    Shim {
        /// A sentence.
        message: String,
    },
    /// The host refused something.
    #[error("cannot {action} {}", path.display())]
    Host {
        /// A verb.
        action: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A plan of a newer release has a step that this one does not know.
    #[error("step `{step}` is not known to this release")]
    UnknownStep {
        /// Its name.
        step: String,
    },
    /// A step failed because a test wanted it to.
    #[error("step `{step}` failed as ordered")]
    Planted {
        /// Its name.
        step: String,
    },
    /// A mistake of ours.
    #[error("internal error: {message}")]
    Bug {
        /// What is known of it.
        message: String,
    },
    /// The daemon is about to end.
    #[error("the daemon is shutting down")]
    ShuttingDown,
}

impl ControlError {
    pub(crate) fn host(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Host { action, path: path.to_path_buf(), source }
    }

    /// Stable word for programs.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refused) => code_of(refused),
            Self::NotFound { .. } => "not_found",
            Self::Taken { .. } => "name_taken",
            Self::Invalid { code, .. } => code,
            Self::StaleVersion { .. } => "stale_version",
            Self::WaitTimeout { .. } => "wait_timeout",
            Self::StartFailed { code, .. } => code,
            Self::Busy { .. } => "machine_busy",
            Self::ExecTimeout { .. } => "exec_timeout",
            Self::Store(store::StoreError::DiskFull) => "disk_full",
            Self::Store(_) => "store",
            Self::Image(_) => "image",
            Self::Disk(error) if error.is_disk_full() => "disk_full",
            Self::Disk(_) => "disk",
            Self::Net(_) => "network",
            Self::Shim { .. } => "shim",
            Self::Host { .. } => "host",
            Self::UnknownStep { .. } => "unknown_step",
            Self::Planted { .. } => "planted",
            Self::Bug { .. } => "internal",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Refused(_)
            | Self::NotFound { .. }
            | Self::Taken { .. }
            | Self::Invalid { .. }
            | Self::StaleVersion { .. }
            | Self::WaitTimeout { .. }
            | Self::StartFailed { .. }
            | Self::Busy { .. }
            | Self::ExecTimeout { .. } => Fault::Caller,
            Self::Store(_)
            | Self::Image(_)
            | Self::Disk(_)
            | Self::Net(_)
            | Self::Shim { .. }
            | Self::Host { .. }
            | Self::UnknownStep { .. }
            | Self::Planted { .. }
            | Self::Bug { .. }
            | Self::ShuttingDown => Fault::Host,
        }
    }

    /// Whether the same request may succeed later without being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(refused) => is_refusal_passing(refused),
            Self::Store(error) => error.is_transient(),
            Self::WaitTimeout { .. }
            | Self::Busy { .. }
            | Self::ExecTimeout { .. }
            | Self::Disk(_)
            | Self::Net(_)
            | Self::Shim { .. }
            | Self::Host { .. }
            | Self::Planted { .. }
            | Self::ShuttingDown => true,
            Self::NotFound { .. }
            | Self::Taken { .. }
            | Self::Invalid { .. }
            | Self::StaleVersion { .. }
            | Self::StartFailed { .. }
            | Self::Image(_)
            | Self::UnknownStep { .. }
            | Self::Bug { .. } => false,
        }
    }

    /// What the caller can do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Refused(refused) => hint_of(refused).to_owned(),
            Self::Invalid { hint, .. } => hint.clone(),
            other => hint_for(other).to_owned(),
        }
    }
}

const fn code_of(refused: &Refused) -> &'static str {
    match refused {
        Refused::Lease(_) => "lease_held",
        Refused::Capacity(_) => "insufficient_capacity",
        Refused::HeldDown { .. } => "held_down",
        Refused::Denied { .. } => "denied_by_rule",
        Refused::AutostartOff => "autostart_off",
        Refused::KeptAwake { .. } => "gate_closed",
        Refused::State { .. } => "wrong_state",
        Refused::Unsupported { .. } => "unsupported",
        Refused::StaleRun => "stale_run",
    }
}

const fn is_refusal_passing(refused: &Refused) -> bool {
    match refused {
        Refused::Lease(_)
        | Refused::Capacity(_)
        | Refused::HeldDown { .. }
        | Refused::Denied { .. }
        | Refused::KeptAwake { .. }
        | Refused::State { .. } => true,
        Refused::AutostartOff | Refused::Unsupported { .. } | Refused::StaleRun => false,
    }
}

const fn hint_of(refused: &Refused) -> &'static str {
    match refused {
        Refused::Lease(_) => "send the lease's nonce, or wait until it expires",
        Refused::Capacity(_) => "stop another machine, or make this one smaller",
        Refused::HeldDown { .. } => "release the hold-down first",
        Refused::Denied { .. } => "the owner may pass `override=1`",
        Refused::AutostartOff => "start the machine by the API",
        Refused::KeptAwake { .. } => "wait until the gate opens",
        Refused::State { .. } => "wait for a settled state, then try again",
        Refused::Unsupported { .. } => "choose another depth or engine; `dormouse doctor` tells more",
        Refused::StaleRun => "nothing to do: the run has ended",
    }
}

fn hint_for(error: &ControlError) -> &'static str {
    match error {
        ControlError::NotFound { what: "image" } => {
            "import it first: `dormouse image import FILE NAME`"
        }
        ControlError::NotFound { .. } => "list what there is and check the name",
        ControlError::Taken { .. } => "choose another name",
        ControlError::StaleVersion { .. } => "read the machine again and repeat the change",
        ControlError::WaitTimeout { .. } => "wait again, or look at the machine's events",
        ControlError::StartFailed { .. } => {
            "check the program, user and working directory; the machine's log may tell more"
        }
        ControlError::Busy { .. } => "wait for the earlier requests",
        ControlError::ExecTimeout { .. } => "pass a longer timeout, at most 60 s, or attach",
        _ if error.code() == "disk_full" => "free some space in the data directory",
        _ => "see the daemon's log; `dormouse doctor` checks the host",
    }
}

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller's.
    Caller,
    /// This host's.
    Host,
    /// Somebody's behind us.
    Upstream,
}
