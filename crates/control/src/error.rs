//! What can go wrong.
//!
//! * `advice`: the one table of what each error knows besides its text: a stable code, whose fault,
//!   whether a retry helps, and a next step.
//! * `state_conflict`: why a request makes no sense in a state.
//! * `start_failure`: which failed starts trying again cannot help.

mod advice;
mod of_images;
mod start_failure;
mod state_conflict;

pub use advice::{Advice, Fault};
pub(crate) use start_failure::is_permanent;
pub use state_conflict::StateConflict;

use model::{MachineId, Refused};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why control did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A rule of the machine's life says no.
    #[error("refused in the machine's present state")]
    Refused(Refused),
    /// No such thing.
    #[error("{what} not found")]
    NotFound {
        /// `app`, `machine`, `image`, `lease`, `version`, `metadata`, `token`, `certificate`.
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
    /// The request can be read, and what it asks for cannot be here.
    #[error("{message}")]
    Unfit {
        /// Stable word.
        code: &'static str,
        /// A sentence for the user.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// What virtual machines are made of cannot be had.
    #[error("{message}")]
    Vm {
        /// A sentence.
        message: String,
    },
    /// What was sealed cannot be opened.
    #[error("{message}")]
    Sealed {
        /// A sentence.
        message: String,
    },
    /// The request is right, but something must be done before it.
    #[error("{message}")]
    Precondition {
        /// Stable word.
        code: &'static str,
        /// A sentence for the user.
        message: String,
        /// What to do first.
        hint: &'static str,
    },
    /// A host name or its certificate is not taken.
    #[error(transparent)]
    Hostname(#[from] crate::hostnames::HostnameRefused),
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
    /// The machine's self says no to a write.
    #[error(transparent)]
    Self_(Box<govern::WriteRefused>),
    /// The machine writes to its self faster than it may.
    #[error("more than {per_second} writes a second come from inside the machine")]
    SelfRate {
        /// How many may.
        per_second: u32,
    },
    /// The self cannot be brought in.
    #[error(transparent)]
    Import(Box<govern::export::ImportError>),
    /// The stored self of a machine cannot be read.
    #[error("the self of machine {machine} cannot be read")]
    SelfUnreadable {
        /// The machine.
        machine: MachineId,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Too many requests wait for this machine.
    #[error("{queued} requests are waiting for machine {machine} already")]
    Busy {
        /// The machine.
        machine: MachineId,
        /// How many wait.
        queued: usize,
    },
    /// As many commands run in this machine as may.
    #[error("{n_running} commands run in this machine already")]
    TooManyStreams {
        /// How many run.
        n_running: usize,
    },
    /// As many follow events as may.
    #[error("{n_now} callers follow events already")]
    TooManyFollowers {
        /// How many do.
        n_now: usize,
    },
    /// Too little of the data file system is free for new machines.
    #[error("the data file system has {free_percent:.1} % free")]
    DiskPressure {
        /// How much is free, 0 to 100.
        free_percent: f64,
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
    /// The image does not come from its registry.
    #[error(transparent)]
    Registry(#[from] registry::RegistryError),
    /// A tenant's request has no way to a registry.
    #[error("there is no way to registry `{registry}` for tenants of this host")]
    NoWayOut {
        /// Which registry.
        registry: String,
    },
    /// What is to come does not fit beside what must stay free.
    #[error(
        "the image needs up to {} MiB, of {} MiB that are free a tenth of the disk must stay so",
        needed_bytes >> 20,
        free_bytes >> 20
    )]
    LittleRoom {
        /// What is to come.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// Work that several waited for has failed; its error is this one's.
    #[error(transparent)]
    Shared(Arc<ControlError>),
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

    pub(crate) fn unreadable(
        machine: &MachineId,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::SelfUnreadable { machine: machine.clone(), source: source.into() }
    }

    /// The error itself, also of work that several waited for.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::Shared(error) => error.root(),
            error => error,
        }
    }

    /// Whether it comes down to a full disk: the caller can do something about that.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error, store::StoreError::DiskFull),
            Self::Image(error) => error.is_disk_full(),
            Self::Disk(error) => error.is_disk_full(),
            Self::Host { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::StartFailed { code, .. } => code == "disk_full",
            Self::Shared(error) => error.is_disk_full(),
            _ => false,
        }
    }

    /// Stable word for programs.
    #[must_use]
    pub fn code(&self) -> &str {
        self.advice().code
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.advice().fault
    }

    /// Whether the same request may succeed later without being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.advice().is_retryable
    }

    /// What the caller can do next.
    #[must_use]
    pub fn hint(&self) -> &str {
        self.advice().hint
    }
}

impl From<govern::WriteRefused> for ControlError {
    fn from(refused: govern::WriteRefused) -> Self {
        Self::Self_(Box::new(refused))
    }
}

impl From<govern::export::ImportError> for ControlError {
    fn from(error: govern::export::ImportError) -> Self {
        match error {
            govern::export::ImportError::Refused(refused) => refused.into(),
            error => Self::Import(Box::new(error)),
        }
    }
}

/// An error and its causes, as one sentence.
pub(crate) fn sentence_of(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    sentence
}
