//! Who may do what: one table.
//!
//! Which *facts* somebody may write is said by the policy; here it is only whether they may come to
//! the memory at all. Inside, the machine is `self`; everybody else comes from outside.

use crate::refused::WriteRefused;
use policy::Writer;
use serde::{Deserialize, Serialize};

/// What a write does, as far as rights and the trace are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Facts.
    Memory,
    /// What it is for.
    Objective,
    /// What it is busy with, and whether that is done.
    Phase,
    /// A hold.
    Hold,
    /// An alarm, set or removed.
    Alarm,
    /// An alarm acknowledged.
    AckAlarm,
    /// A message posted.
    Post,
    /// Messages delivered.
    Take,
    /// Messages acknowledged.
    Ack,
    /// `rest until`.
    Rest,
    /// A rest that was asked for, taken back.
    ClearRest,
    /// The policy.
    Policy,
    /// Hold-down.
    HoldDown,
    /// A stop, which silences what wanted it up.
    Stop,
    /// Something the platform noticed.
    Report,
    /// The circuit breaker closed by hand.
    ResetBreaker,
    /// A whole self brought from elsewhere.
    Import,
    /// A decision of the governor.
    Decide,
    /// The oldest entries of the trace cut off.
    Checkpoint,
}

/// Kinds of writers, as columns of the table.
const SELF: u8 = 1;
const OWNER: u8 = 2;
const TOKEN: u8 = 4;
const PEER: u8 = 8;
const PLATFORM: u8 = 16;

impl Action {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Memory,
        Self::Objective,
        Self::Phase,
        Self::Hold,
        Self::Alarm,
        Self::AckAlarm,
        Self::Post,
        Self::Take,
        Self::Ack,
        Self::Rest,
        Self::ClearRest,
        Self::Policy,
        Self::HoldDown,
        Self::Stop,
        Self::Report,
        Self::ResetBreaker,
        Self::Import,
        Self::Decide,
        Self::Checkpoint,
    ];

    /// The table. A machine's own policy is further bounded by `amend`.
    const fn writers(self) -> u8 {
        match self {
            Self::Memory | Self::Post => SELF | OWNER | TOKEN | PEER | PLATFORM,
            Self::Objective => OWNER | PLATFORM,
            Self::Phase | Self::Hold | Self::AckAlarm | Self::Ack | Self::ClearRest => SELF | OWNER,
            Self::Alarm | Self::Policy => SELF | OWNER | PLATFORM,
            Self::Take | Self::Rest => SELF,
            Self::HoldDown | Self::ResetBreaker => OWNER | PLATFORM,
            Self::Stop => SELF | OWNER | TOKEN | PLATFORM,
            Self::Import => OWNER | PLATFORM,
            Self::Report | Self::Decide | Self::Checkpoint => PLATFORM,
        }
    }

    /// Whether `writer` may.
    #[must_use]
    pub const fn allows(self, writer: &Writer) -> bool {
        let column = match writer {
            Writer::Machine => SELF,
            Writer::Owner => OWNER,
            Writer::Token(_) => TOKEN,
            Writer::Peer(_) => PEER,
            Writer::Platform => PLATFORM,
        };
        self.writers() & column != 0
    }

    /// As [`Action::allows`], with the refusal.
    ///
    /// # Errors
    /// [`WriteRefused::Rights`].
    pub fn check(self, writer: &Writer) -> Result<(), WriteRefused> {
        if self.allows(writer) {
            Ok(())
        } else {
            Err(WriteRefused::Rights { action: self, writer: writer.clone() })
        }
    }

    /// "may not …".
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Memory => "write the memory",
            Self::Objective => "say what the machine is for",
            Self::Phase => "say what the machine is busy with",
            Self::Hold => "hold the machine awake",
            Self::Alarm => "set alarms",
            Self::AckAlarm => "acknowledge alarms",
            Self::Post => "post messages",
            Self::Take => "take messages",
            Self::Ack => "acknowledge messages",
            Self::Rest => "put the machine to rest until something happens",
            Self::ClearRest => "take the machine's rest back",
            Self::Policy => "set the policy",
            Self::HoldDown => "hold the machine down",
            Self::Stop => "stop the machine",
            Self::Report => "report for the platform",
            Self::ResetBreaker => "close the circuit breaker",
            Self::Import => "bring a self",
            Self::Decide => "decide for the platform",
            Self::Checkpoint => "cut the trace",
        }
    }

    /// "it is for …".
    pub(crate) fn whom(self) -> String {
        let columns = [
            (SELF, "the machine itself"),
            (OWNER, "its owner"),
            (TOKEN, "tokens"),
            (PEER, "peers"),
            (PLATFORM, "the platform"),
        ];
        let may = columns.iter().filter(|(bit, _)| self.writers() & bit != 0);
        may.map(|(_, whom)| *whom).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(action: Action, expected: &str) {
        let writers = [
            ('s', Writer::Machine),
            ('o', Writer::Owner),
            ('t', Writer::Token("ci".to_owned())),
            ('p', Writer::Peer("db".to_owned())),
            ('h', Writer::Platform),
        ];
        let may: String =
            writers.iter().filter(|(_, w)| action.allows(w)).map(|(letter, _)| letter).collect();
        assert_eq!(may, expected, "{action:?}");
    }

    /// s: self, o: owner, t: token, p: peer, h: platform.
    #[test]
    fn the_table() {
        check(Action::Memory, "sotph");
        check(Action::Objective, "oh");
        check(Action::Phase, "so");
        check(Action::Hold, "so");
        check(Action::Alarm, "soh");
        check(Action::AckAlarm, "so");
        check(Action::Post, "sotph");
        check(Action::Take, "s");
        check(Action::Ack, "so");
        check(Action::Rest, "s");
        check(Action::ClearRest, "so");
        check(Action::Policy, "soh");
        check(Action::HoldDown, "oh");
        check(Action::Stop, "soth");
        check(Action::Report, "h");
        check(Action::ResetBreaker, "oh");
        check(Action::Import, "oh");
        check(Action::Decide, "h");
        check(Action::Checkpoint, "h");
    }

    #[test]
    fn a_refusal_says_who_may() {
        let refused = Action::HoldDown.check(&Writer::Machine).unwrap_err();
        assert_eq!(refused.to_string(), "`self` may not hold the machine down");
        assert_eq!(refused.hint().as_deref(), Some("it is for its owner, the platform"));
        assert_eq!((refused.code(), refused.status()), ("self_rights", 403));
    }
}
