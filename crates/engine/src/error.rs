//! Everything that can go wrong with an engine.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why an engine could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The verb came before or after its time: a mistake of the shim.
    #[error("`{verb}` makes no sense now")]
    Order {
        /// The verb.
        verb: &'static str,
    },
    /// This engine cannot do that.
    #[error("this engine cannot {verb}")]
    Unsupported {
        /// The verb.
        verb: &'static str,
    },
    /// The machine's disk cannot be attached.
    #[error("the disk cannot be attached")]
    Disk(#[source] disk::DiskError),
    /// A directory on the machine's disk cannot be made or emptied.
    #[error("cannot {action} on the machine's disk")]
    DiskContent {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A cgroup cannot be made, set or read.
    #[error("cannot {action} the cgroup file `{}`", path.display())]
    Cgroup {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The program is an init, and this host has no cgroup that could be given to it.
    #[error(
        "a program that is an init needs a cgroup of its own, and on this host neither a v2 tree nor \
         the v1 hierarchy `name=systemd` is mounted; `mount -t cgroup2 cgroup2 /mnt` helps"
    )]
    NoInitCgroup,
    /// A namespace, mount or descriptor that a run needs cannot be had.
    #[error("cannot {action}")]
    Namespace {
        /// What was tried.
        action: String,
        /// Why not.
        source: io::Error,
    },
    /// The child failed on its way to the guest init.
    #[error("the machine's first process could not {step}")]
    Launch {
        /// The step that failed.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The link of a virtual machine cannot be had.
    #[error("the machine's link cannot be had")]
    Link(#[source] net::Error),
    /// The monitor of a virtual machine did not do its part.
    #[error("the virtual machine's monitor did not {action}{}", said_by_it(said))]
    Monitor {
        /// What it should have done.
        action: &'static str,
        /// Its last words on its standard error, if it had any.
        said: String,
        /// How it refused.
        source: vmm::qmp::QmpError,
    },
    /// A file of a template cannot be opened or made.
    #[error("the template of the virtual machine")]
    Template(#[source] vmm::template::TemplateError),
    /// The guest did not become the machine that it was ordered to be.
    #[error("the guest did not become this machine: {why}")]
    Guest {
        /// Why not, as a sentence's end.
        why: String,
    },
    /// The RAM of a virtual machine cannot be put on disk, or taken from there.
    #[error("the RAM of the virtual machine")]
    Ram(#[source] vmm::delta::DeltaError),
    /// It was wanted no more before it was done.
    #[error("it was called off")]
    CalledOff,
    /// Something did not happen in time.
    #[error("{what} took longer than {limit:?}")]
    Deadline {
        /// What should have happened.
        what: &'static str,
        /// The time it was given.
        limit: Duration,
    },
    /// Parts of a teardown failed.
    #[error("the teardown left something behind: {}", parts.join("; "))]
    Teardown {
        /// One sentence for each part.
        parts: Vec<String>,
    },
    /// The fake was told to fail.
    #[error("the fake engine was told to fail")]
    Told,
}

impl EngineError {
    /// Stable word for clients: `disk`, `disk_in_use`, `disk_full`, `cgroup`, `namespace`, `launch`,
    /// `monitor`, `template`, `guest`, `ram`, `called_off`, `network`, `deadline`, `unsupported`,
    /// `internal`, `fake`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Order { .. } | Self::Teardown { .. } => "internal",
            Self::Unsupported { .. } => "unsupported",
            Self::Disk(disk::DiskError::InUse { .. }) => "disk_in_use",
            Self::Disk(error) if error.is_disk_full() => "disk_full",
            Self::Disk(_) | Self::DiskContent { .. } => "disk",
            Self::Cgroup { .. } | Self::NoInitCgroup => "cgroup",
            Self::Namespace { .. } => "namespace",
            Self::Launch { .. } => "launch",
            Self::Monitor { .. } => "monitor",
            Self::Template(_) => "template",
            Self::Link(_) => "network",
            Self::Guest { .. } => "guest",
            Self::Ram(_) => "ram",
            Self::CalledOff => "called_off",
            Self::Deadline { .. } => "deadline",
            Self::Told => "fake",
        }
    }

    /// The error and its causes in one sentence, for the user.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// Wraps a failure to get a namespace, mount or descriptor; made for `map_err`.
    pub(crate) fn namespace<E: Into<io::Error>>(
        action: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |source| Self::Namespace { action, source: source.into() }
    }

    /// Wraps a failure at a cgroup file; made for `map_err`.
    pub(crate) fn cgroup<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Cgroup { action, path, source: source.into() }
    }
}

fn said_by_it(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" (it said: {said})") }
}
