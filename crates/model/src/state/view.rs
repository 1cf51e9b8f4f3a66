//! What can be read off a state.

use super::{AfterStop, HoldDown, Run, State};
use crate::cause::{Cause, Depth};
use crate::units::UnixMs;

impl HoldDown {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn is_active(&self, now: UnixMs) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl State {
    /// The state's name in the Machines API. Source: machines-api 3.2.
    #[must_use]
    pub const fn api_name(&self) -> &'static str {
        match self {
            Self::Creating { .. } => "created",
            Self::Starting { .. } | Self::Suspended { wake: Some(_), .. } => "starting",
            Self::Started { .. } | Self::Resting { .. } => "started",
            Self::Stopping { then: AfterStop::Start { .. }, .. } | Self::Backoff { .. } => {
                "restarting"
            }
            Self::Stopping { .. } => "stopping",
            Self::Stopped { .. } => "stopped",
            Self::Suspending { .. } => "suspending",
            Self::Suspended { .. } => "suspended",
            Self::Updating { .. } => "replacing",
            Self::Failed { .. } => "failed",
            Self::Destroying { .. } => "destroying",
            Self::Destroyed { .. } => "destroyed",
        }
    }

    /// Whether nothing will happen without an event from outside.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::Started { .. }
            | Self::Stopped { .. }
            | Self::Suspended { wake: None, .. }
            | Self::Failed { .. }
            | Self::Destroyed { .. } => true,
            Self::Suspended { wake: Some(_), .. }
            | Self::Creating { .. }
            | Self::Starting { .. }
            | Self::Resting { .. }
            | Self::Stopping { .. }
            | Self::Suspending { .. }
            | Self::Backoff { .. }
            | Self::Updating { .. }
            | Self::Destroying { .. } => false,
        }
    }

    /// Whether it is up to stay, or will be without another wake.
    #[must_use]
    pub const fn leads_up(&self) -> bool {
        match self {
            Self::Creating { launch, .. } | Self::Updating { launch, .. } => *launch,
            Self::Stopping { then, .. } => matches!(then, AfterStop::Start { .. }),
            Self::Starting { then, .. } => then.is_none(),
            Self::Suspending { wake, .. } => wake.is_some(),
            Self::Suspended { wake, .. } => wake.is_some(),
            Self::Started { .. } | Self::Backoff { .. } => true,
            Self::Resting { .. }
            | Self::Stopped { .. }
            | Self::Failed { .. }
            | Self::Destroying { .. }
            | Self::Destroyed { .. } => false,
        }
    }

    /// Whether it is down, so that to bring it up takes room on the host.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        match self {
            Self::Stopped { .. }
            | Self::Failed { .. }
            | Self::Backoff { .. }
            | Self::Suspended { depth: Depth::Suspend | Depth::Stop, wake: None, .. } => true,
            Self::Creating { .. }
            | Self::Starting { .. }
            | Self::Started { .. }
            | Self::Resting { .. }
            | Self::Stopping { .. }
            | Self::Suspending { .. }
            | Self::Suspended { .. }
            | Self::Updating { .. }
            | Self::Destroying { .. }
            | Self::Destroyed { .. } => false,
        }
    }

    /// Whether it sleeps, or is about to, for want of room on the data file system alone.
    #[must_use]
    pub const fn is_pressed(&self) -> bool {
        matches!(
            self,
            Self::Suspending { cause: Some(Cause::DiskPressure { .. }), wake: None, .. }
                | Self::Suspended { cause: Some(Cause::DiskPressure { .. }), wake: None, .. }
        )
    }

    /// Whether it is being removed, or is removed.
    #[must_use]
    pub const fn is_going_away(&self) -> bool {
        matches!(self, Self::Destroying { .. } | Self::Destroyed { .. })
    }

    /// Whether its program runs, for visitors too.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self, Self::Started { .. } | Self::Resting { .. })
    }

    /// The run whose processes may exist.
    #[must_use]
    pub const fn run(&self) -> Option<&Run> {
        match self {
            Self::Starting { run, .. }
            | Self::Started { run }
            | Self::Resting { run, .. }
            | Self::Stopping { run, .. }
            | Self::Suspending { run, .. }
            | Self::Suspended { run, .. } => Some(run),
            Self::Updating { run, .. } | Self::Destroying { run, .. } => run.as_ref(),
            Self::Creating { .. }
            | Self::Stopped { .. }
            | Self::Backoff { .. }
            | Self::Failed { .. }
            | Self::Destroyed { .. } => None,
        }
    }
}
