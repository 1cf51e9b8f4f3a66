//! Why a write was not made.

use crate::rights::Action;
use policy::{AlarmError, AmendRefused, Finding, TextError, Writer};

/// Why a write was not made; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum WriteRefused {
    /// Not by this writer.
    #[error("`{writer}` may not {}", action.verb())]
    Rights {
        /// What.
        action: Action,
        /// Who.
        writer: Writer,
    },
    /// The memory says no to a fact.
    #[error(transparent)]
    Memory(Box<policy::WriteRefused>),
    /// Somebody else wrote meanwhile.
    #[error("the revision is {is}, not {expected}")]
    Revision {
        /// As the writer knew it.
        expected: u64,
        /// As it is.
        is: u64,
    },
    /// Too many bytes.
    #[error("{what} has more than {max} bytes")]
    TooLong {
        /// What.
        what: &'static str,
        /// How many it may have.
        max: usize,
    },
    /// A name that cannot be one.
    #[error("`{name}` is no name of {what}")]
    Name {
        /// Of what.
        what: &'static str,
        /// The name, cut to a readable length.
        name: String,
    },
    /// There are as many as there may be.
    #[error("there are {max} {what} already")]
    Full {
        /// What.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// There is none of this name.
    #[error("there is no {what} `{name}`")]
    Missing {
        /// What.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A length of time or moment out of range.
    #[error("{what}")]
    Time {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The alarm cannot be set.
    #[error(transparent)]
    Alarm(AlarmError),
    /// The policy has this alarm.
    #[error("the alarm `{name}` belongs to the policy")]
    AlarmOfPolicy {
        /// Its name.
        name: String,
    },
    /// The message has passed too many machines.
    #[error("the message has passed {hops} machines")]
    Hops {
        /// How many.
        hops: u8,
    },
    /// The inbox, its app or its host has no room.
    #[error("there is no room for the message: {what}")]
    InboxFull {
        /// Which limit.
        what: &'static str,
    },
    /// The condition of a `rest until` is wrong.
    #[error("the condition is wrong: {error}")]
    Condition {
        /// What is wrong, and where.
        error: TextError,
        /// The line, with carets under the part.
        excerpt: String,
    },
    /// A `rest until` that waits for nothing.
    #[error("a rest needs `until` or `at`")]
    RestForEver,
    /// The policy has errors.
    #[error("the policy has errors: {}", .findings.first().map_or_else(String::new, ToString::to_string))]
    Policy {
        /// All of them.
        findings: Vec<Finding>,
    },
    /// The policy is not the one that was named.
    #[error("the policy's hash is {is}")]
    PolicyHash {
        /// What it is.
        is: model::Digest,
    },
    /// The machine may not change this part of its policy.
    #[error(transparent)]
    Amend(AmendRefused),
    /// Under the new policy the machine's `rest until` has no meaning, and it would never wake.
    #[error("the machine rests until `{until}`, which the new policy does not understand: {error}")]
    BreaksRest {
        /// Its condition.
        until: String,
        /// What is wrong with it then.
        error: TextError,
    },
}

impl WriteRefused {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Rights { .. } => "self_rights",
            Self::Memory(refused) => refused.code(),
            Self::Revision { .. } => "self_revision",
            Self::TooLong { .. } => "self_too_long",
            Self::Name { .. } => "self_name_invalid",
            Self::Full { .. } => "self_full",
            Self::Missing { .. } => "self_missing",
            Self::Time { .. } => "self_time_invalid",
            Self::Alarm(_) => "alarm_invalid",
            Self::AlarmOfPolicy { .. } => "alarm_of_policy",
            Self::Hops { .. } => "inbox_hops",
            Self::InboxFull { .. } => "inbox_full",
            Self::Condition { .. } => "condition_invalid",
            Self::RestForEver => "rest_for_ever",
            Self::Policy { .. } => "policy_invalid",
            Self::PolicyHash { .. } => "policy_hash",
            Self::Amend(_) => "policy_amend",
            Self::BreaksRest { .. } => "policy_breaks_rest",
        }
    }

    /// The HTTP status that fits.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Rights { .. } | Self::Amend(_) => 403,
            Self::Memory(refused) => match **refused {
                policy::WriteRefused::Writer { .. } => 403,
                policy::WriteRefused::Transition { .. } | policy::WriteRefused::Guard { .. } => 409,
                policy::WriteRefused::TooLong { .. } | policy::WriteRefused::Full { .. } => 413,
                policy::WriteRefused::Key { .. }
                | policy::WriteRefused::Undeclared { .. }
                | policy::WriteRefused::Value { .. } => 422,
            },
            Self::Revision { .. } | Self::PolicyHash { .. } => 412,
            Self::TooLong { .. } => 413,
            Self::Missing { .. } => 404,
            Self::Full { .. } | Self::AlarmOfPolicy { .. } | Self::BreaksRest { .. } => 409,
            Self::InboxFull { .. } => 429,
            Self::Name { .. }
            | Self::Time { .. }
            | Self::Alarm(_)
            | Self::Hops { .. }
            | Self::Condition { .. }
            | Self::RestForEver
            | Self::Policy { .. } => 422,
        }
    }

    /// What the writer can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Rights { action, .. } => format!("it is for {}", action.whom()),
            Self::Memory(refused) => return refused.hint(),
            Self::Revision { .. } => {
                "read it again, and repeat the change on what it is".to_owned()
            }
            Self::TooLong { .. } => "keep a reference to it, and the rest on the disk".to_owned(),
            Self::Name { .. } => "at most 64 letters, digits, `_`, `-`".to_owned(),
            Self::Full { .. } => "remove one that is no longer needed".to_owned(),
            Self::Alarm(AlarmError::TimeZone { hint, .. })
            | Self::Condition { error: TextError { hint, .. }, .. } => {
                return hint.clone();
            }
            Self::AlarmOfPolicy { .. } => "change the policy, or choose another name".to_owned(),
            Self::Hops { .. } => "machines send each other this message in a circle".to_owned(),
            Self::InboxFull { .. } => "try again when messages were acknowledged".to_owned(),
            Self::RestForEver => {
                "stop the machine to let it rest until somebody starts it".to_owned()
            }
            Self::Policy { findings } => return findings.first().and_then(|f| f.hint.clone()),
            Self::BreaksRest { .. } => {
                "start the machine, or clear its rest, and set the policy then".to_owned()
            }
            Self::Missing { .. }
            | Self::Time { .. }
            | Self::Alarm(_)
            | Self::PolicyHash { .. }
            | Self::Amend(_) => {
                return None;
            }
        })
    }
}

impl From<policy::WriteRefused> for WriteRefused {
    fn from(refused: policy::WriteRefused) -> Self {
        Self::Memory(Box::new(refused))
    }
}
