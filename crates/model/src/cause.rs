//! Who wants a machine up or down, and why.

use crate::ids::MachineId;
use serde::{Deserialize, Serialize};

/// What somebody wants of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// Running.
    Up,
    /// Asleep at this depth.
    Down(Depth),
}

/// How deep a machine sleeps. The disk is kept in all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Processes stand still, RAM stays.
    Freeze,
    /// RAM goes to disk.
    Suspend,
    /// RAM is dropped.
    Stop,
}

/// Why somebody wants a machine up or down. Which gate may stop which cause: [`crate::admit()`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// A call of the API or CLI.
    Api {
        /// Who: token name or `local`.
        actor: String,
        /// The caller is the owner and passes `override=1`: deny rules are passed, and traced.
        overrides_deny: bool,
        /// The caller proved that the lease is its own (or there is none).
        holds_lease: bool,
    },
    /// The machine asked for it itself.
    Guest,
    /// A visitor at the proxy.
    Knock,
    /// A rule of the policy.
    Rule {
        /// Its id.
        rule: String,
    },
    /// An alarm of the machine's memory.
    Alarm {
        /// Its name.
        alarm: String,
    },
    /// A message in the inbox.
    Message,
    /// A fact of a peer.
    Peer {
        /// The peer.
        peer: MachineId,
    },
    /// The machine's own `rest until`.
    RestUntil,
    /// The proxy found it idle.
    Idle,
    /// The restart policy.
    RestartPolicy,
    /// A schedule of the configuration.
    Schedule,
    /// The host rebooted while it was up.
    HostReboot,
    /// Destroy or update needs it down first.
    Plan,
}

/// The gates that a cause meets, as in the table of the design, section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CauseClass {
    /// A start by the API or the guest.
    ApiStart,
    /// A knock.
    Knock,
    /// Rule, alarm, message, peer, `rest until`, schedule.
    Governed,
    /// Rest by rule or idleness.
    Rest,
    /// Stop, suspend, destroy by the API or the guest.
    ApiRest,
    /// Restart policy and host reboot.
    Restart,
    /// A part of a plan that has been admitted already.
    Plan,
}

impl Cause {
    /// The row of the gate table for this cause wanting `want`.
    #[must_use]
    pub const fn class(&self, want: Want) -> CauseClass {
        match (self, want) {
            (Self::Api { .. } | Self::Guest, Want::Up) => CauseClass::ApiStart,
            (Self::Api { .. } | Self::Guest, Want::Down(_)) => CauseClass::ApiRest,
            (Self::Knock, _) => CauseClass::Knock,
            (Self::RestartPolicy | Self::HostReboot, _) => CauseClass::Restart,
            (Self::Plan, _) => CauseClass::Plan,
            (
                Self::Rule { .. }
                | Self::Alarm { .. }
                | Self::Message
                | Self::Peer { .. }
                | Self::RestUntil
                | Self::Idle
                | Self::Schedule,
                want,
            ) => match want {
                Want::Up => CauseClass::Governed,
                Want::Down(_) => CauseClass::Rest,
            },
        }
    }
}
