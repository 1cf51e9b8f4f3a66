//! Who wants a machine up or down, and why.

use crate::ids::MachineId;
use crate::units::{DurationMs, PerMille};
use serde::{Deserialize, Serialize};
use std::fmt;

mod words;

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

/// What a lease gives to its holder alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LeaseNonce(pub String);

impl fmt::Debug for LeaseNonce {
    /// Without anything of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseNonce")
    }
}

/// Why somebody wants a machine up or down. Which gate may stop which cause: [`crate::admit()`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// A call of the API or CLI.
    Api {
        /// Who: token name or `local`.
        actor: String,
        /// The caller is the owner and passes `override=1`: deny rules are passed, and traced; so is
        /// the lease of somebody else.
        overrides_deny: bool,
        /// The nonce that the caller sent to prove that the lease is its own. Neither stored nor shown.
        #[serde(skip)]
        nonce: Option<LeaseNonce>,
    },
    /// The machine asked for it itself.
    Guest,
    /// A visitor at the proxy.
    Knock {
        /// Port inside the machine that the visitor is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        internal_port: Option<u16>,
        /// The request, when it is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<KnockRequest>,
    },
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
    Idle {
        /// For how long it had no visitors.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<DurationMs>,
    },
    /// Its app's visitors need fewer machines.
    Excess {
        /// For how long they have.
        after: DurationMs,
    },
    /// It has slept for long enough to sleep deeper, by a setting of its configuration.
    Age {
        /// For how long.
        after: DurationMs,
    },
    /// The restart policy.
    RestartPolicy,
    /// The schedule of its configuration, which is an alarm of the platform's.
    Schedule,
    /// The host rebooted while it was up.
    HostReboot,
    /// Destroy or update needs it down first.
    Plan,
    /// The data file system is nearly full, and this machine's disk grows fast.
    DiskPressure {
        /// How much is free.
        free: PerMille,
        /// What the machine's disk grew by.
        wrote_bytes: u64,
        /// Within which time.
        within: DurationMs,
    },
    /// The data file system has room again, for a machine that was frozen for want of it.
    DiskRoom {
        /// How much is free.
        free: PerMille,
    },
}

/// The request that knocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KnockRequest {
    /// Method.
    pub method: String,
    /// Host, without the port.
    pub host: String,
    /// Path, without the query; cut at [`KNOCK_PATH_MAX_BYTES`].
    pub path: String,
}

/// Most bytes of a request's path that are kept as the reason of a wake.
pub const KNOCK_PATH_MAX_BYTES: usize = 1_024;

/// The gates that a cause meets, as in the table of the design, section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CauseClass {
    /// A start by the API or the guest.
    ApiStart,
    /// A knock.
    Knock,
    /// Rule, alarm, message, peer, `rest until`, schedule.
    Governed,
    /// Rest by rule, idleness or age.
    Rest,
    /// Stop, suspend, destroy by the API or the guest.
    ApiRest,
    /// Restart policy, host reboot, room on the disk: it was up, and its owner did not end that.
    Restart,
    /// A part of a plan that has been admitted already.
    Plan,
    /// What keeps the host alive: comes before everything.
    Safety,
}

impl Cause {
    /// Whether the caller proved that it holds the lease with this nonce.
    #[must_use]
    pub fn proves(&self, held: &str) -> bool {
        matches!(self, Self::Api { nonce: Some(nonce), .. } if nonce.0 == held)
    }

    /// The row of the gate table for this cause wanting `want`.
    #[must_use]
    pub const fn class(&self, want: Want) -> CauseClass {
        match (self, want) {
            (Self::Api { .. } | Self::Guest, Want::Up) => CauseClass::ApiStart,
            (Self::Api { .. } | Self::Guest, Want::Down(_)) => CauseClass::ApiRest,
            (Self::Knock { .. }, _) => CauseClass::Knock,
            (Self::RestartPolicy | Self::HostReboot | Self::DiskRoom { .. }, _) => {
                CauseClass::Restart
            }
            (Self::DiskPressure { .. }, _) => CauseClass::Safety,
            (Self::Plan, _) => CauseClass::Plan,
            (
                Self::Rule { .. }
                | Self::Alarm { .. }
                | Self::Message
                | Self::Peer { .. }
                | Self::RestUntil
                | Self::Idle { .. }
                | Self::Excess { .. }
                | Self::Age { .. }
                | Self::Schedule,
                want,
            ) => match want {
                Want::Up => CauseClass::Governed,
                Want::Down(_) => CauseClass::Rest,
            },
        }
    }

    /// A visitor of whom nothing is known.
    #[must_use]
    pub const fn knock() -> Self {
        Self::Knock { internal_port: None, request: None }
    }

    /// Idleness of a length that nobody knows.
    #[must_use]
    pub const fn idle() -> Self {
        Self::Idle { after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_nonce_of_the_lease_that_is_held_proves_it() {
        let with = |nonce: Option<&str>| Cause::Api {
            actor: "local".to_owned(),
            overrides_deny: false,
            nonce: nonce.map(|nonce| LeaseNonce(nonce.to_owned())),
        };
        assert!(with(Some("a1b2")).proves("a1b2"));
        // The lease ended while the call waited for its turn, and somebody else has the next one.
        assert!(!with(Some("a1b2")).proves("c3d4"));
        assert!(!with(None).proves("a1b2"));
        assert!(!Cause::Guest.proves("a1b2"));
        let stored = serde_json::to_string(&with(Some("a1b2"))).expect("JSON");
        assert!(!stored.contains("a1b2"), "{stored}");
        assert!(!format!("{:?}", with(Some("a1b2"))).contains("a1b2"));
    }
}
