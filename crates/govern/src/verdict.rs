//! What an evaluation says.

use crate::selfhood::Selfhood;
use crate::trace::TraceBody;
use model::admit::Gate;
use model::{Cause, Depth, DurationMs, GateFacts, UnixMs, Want};
use policy::{Effect, Outcome, Read, Truth};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an evaluation says. [`Verdict::next`] and [`Verdict::entry`] are stored together, and then
/// the wish is brought to the one door.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The record with rule states, fired alarms, ended holds.
    pub next: Selfhood,
    /// It differs from the one before, so it must be stored.
    pub is_changed: bool,
    /// What the machine should be told, if anything.
    pub wish: Option<(Want, Cause)>,
    /// The gates as far as governance and the view know them. Room on the host and `autostart` are
    /// the host's to fill in.
    pub gates: GateFacts,
    /// What was decided.
    pub stance: Stance,
    /// Who wanted what, and why it lost, if it did.
    pub candidates: Vec<Candidate>,
    /// The answers of all rules.
    pub results: Vec<RuleResult>,
    /// Everything that was read, by name.
    pub reads: Vec<Read>,
    /// When it must be evaluated again although nothing happens. Before that, nothing changes.
    pub next_at: Option<UnixMs>,
    /// What time alone has done.
    pub happened: Vec<Happened>,
    /// Messages to be sent by `notify` rules.
    pub notify: Vec<Notify>,
    /// A `retire` rule stands: stopped, the machine is to be marked for removal.
    pub retire: Option<String>,
    /// The machine has been told of a rest that should not happen any more.
    pub veto: bool,
    /// For the trace; `None` when neither the outcome nor its reason changed.
    pub entry: Option<TraceBody>,
}

/// Who may want something of a machine, or keep it from something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The machine's own `rest until`, by the revision at which it was written.
    RestUntil(u64),
    /// An alarm that no rule reads.
    Alarm(String),
    /// A message posted with `wake`.
    Message,
    /// A rule.
    Rule(String),
    /// A hold.
    Hold(String),
    /// Its services, which no visitor has wanted for so many milliseconds.
    Autostop(u64),
    /// Its services: the visitors of its app have needed fewer machines for so many milliseconds.
    Excess(u64),
    /// Its setting `deepen`: it has slept for so many milliseconds.
    Age(u64),
}

/// Somebody who wants something, and what became of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Who.
    pub source: Source,
    /// What: the word of rules serves for all.
    pub effect: Effect,
    /// How deep a rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<Depth>,
    /// A stop has silenced it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_muted: bool,
    /// Why it did not prevail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
}

/// Why somebody did not prevail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// A stop has silenced it.
    Muted,
    /// Somebody of a higher rank, or an equal before it, did.
    To(Source),
    /// A gate is shut.
    Shut(Gate),
}

/// What was decided, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stance", rename_all = "snake_case")]
pub enum Stance {
    /// It should be up.
    Up {
        /// Who wants it.
        by: Source,
    },
    /// It should be up, and a gate is shut.
    Owed {
        /// Who wants it.
        by: Source,
        /// Which gate.
        gate: Gate,
        /// The rule behind the gate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate_by: Option<String>,
    },
    /// It should rest.
    Down {
        /// Who wants it.
        by: Source,
        /// How deep.
        depth: Depth,
    },
    /// It should rest, and a gate is shut.
    Kept {
        /// Who wants it to.
        by: Source,
        /// Which gate.
        gate: Gate,
        /// Hold or rule behind the gate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gate_by: Option<String>,
    },
    /// Nobody wants anything but that it does not rest.
    Held {
        /// Who.
        by: Source,
    },
    /// As it is.
    Stay,
}

/// A decision that stands until the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Since when.
    pub at: UnixMs,
    /// What, and why.
    #[serde(flatten)]
    pub stance: Stance,
}

/// The answers of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleResult {
    /// Its id.
    pub rule: String,
    /// What it does while it stands.
    pub effect: Effect,
    /// The answer of `when`.
    pub when: Tri,
    /// The answer of `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Tri>,
    /// Whether it stands.
    pub stands: bool,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tri {
    /// Yes.
    True,
    /// No.
    False,
    /// Nobody can say.
    Unknown,
}

impl From<&Outcome> for Tri {
    fn from(outcome: &Outcome) -> Self {
        match outcome.truth {
            Truth::True => Self::True,
            Truth::False => Self::False,
            Truth::Unknown(_) => Self::Unknown,
        }
    }
}

/// Something that time alone has done to the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// An alarm fired.
    Fired(String),
    /// An alarm has done what it was for, and counts as acknowledged.
    Served(String),
    /// A hold ended.
    HoldEnded(String),
    /// The `rest until` of this revision is over: why.
    RestOver(u64, RestOver),
    /// Patience with a machine that does not touch its inbox has ended.
    MessagesIgnored,
    /// A `notify` rule began to stand.
    Notified(String),
}

/// Why a `rest until` is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestOver {
    /// The machine is up again.
    Up,
    /// What it waits for had come before it went to rest, so it did not.
    CameFirst,
    /// It could not go to rest in time.
    NotInTime,
}

/// A message of a `notify` rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The rule.
    pub rule: String,
    /// Where to.
    pub to: Option<String>,
}

impl Source {
    /// Why, in the words of the model. A rest that the machine asked for is the guest's.
    #[must_use]
    pub fn cause(&self, want: Want) -> Cause {
        match (self, want) {
            (Self::RestUntil(_), Want::Up) => Cause::RestUntil,
            (Self::RestUntil(_), Want::Down(_)) => Cause::Guest,
            (Self::Alarm(alarm), _) => Cause::Alarm { alarm: alarm.clone() },
            (Self::Message, _) => Cause::Message,
            (Self::Rule(rule) | Self::Hold(rule), _) => Cause::Rule { rule: rule.clone() },
            (Self::Autostop(after_ms), _) => Cause::Idle { after: Some(DurationMs(*after_ms)) },
            (Self::Excess(after_ms), _) => Cause::Excess { after: DurationMs(*after_ms) },
            (Self::Age(after_ms), _) => Cause::Age { after: DurationMs(*after_ms) },
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RestUntil(rev) => write!(f, "self:{rev}"),
            Self::Alarm(name) => write!(f, "alarm `{name}`"),
            Self::Message => f.write_str("a message"),
            Self::Rule(id) => write!(f, "rule `{id}`"),
            Self::Hold(name) => write!(f, "hold `{name}`"),
            Self::Autostop(after_ms) => {
                write!(f, "autostop after {} s without visitors", after_ms / 1000)
            }
            Self::Excess(after_ms) => {
                write!(f, "autostop after {} s with one machine too many", after_ms / 1000)
            }
            Self::Age(after_ms) => write!(f, "`deepen` after {} s asleep", after_ms / 1000),
        }
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fired(name) => write!(f, "alarm `{name}` fired"),
            Self::Served(name) => write!(f, "alarm `{name}` has done its work"),
            Self::HoldEnded(name) => write!(f, "hold `{name}` ended"),
            Self::RestOver(rev, why) => {
                let why = match why {
                    RestOver::Up => "the machine is up",
                    RestOver::CameFirst => "what it waits for came first",
                    RestOver::NotInTime => "it could not begin",
                };
                write!(f, "rest self:{rev} is over: {why}")
            }
            Self::MessagesIgnored => f.write_str("messages were not looked at"),
            Self::Notified(rule) => write!(f, "rule `{rule}` notifies"),
        }
    }
}
