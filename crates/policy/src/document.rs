//! A policy as it is written: JSON, with every field named.
//!
//! Reading a document checks its shape: fields, types, spellings. What the fields mean together is
//! for [`crate::Policy::compile`].

use crate::fact_type::FactType;
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::period::Period;
use crate::text::did_you_mean;
use crate::unique::unique_map;
use crate::writer::WriterPattern;
use model::{Depth, Digest};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;

/// The declared facts, by key.
pub type Facts = BTreeMap<String, FactSchema>;

/// The peers that a policy describes, by the name that rules use.
pub type Peers = BTreeMap<String, PeerText>;

/// A policy document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Document {
    /// What the policy is for, for its readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The facts of the machine's memory, by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_map")]
    pub facts: Facts,
    /// Its alarms, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_map")]
    pub alarms: BTreeMap<String, AlarmText>,
    /// Other machines whose facts the rules read, by the name used in `peer.NAME`.
    ///
    /// May be left out: then every machine of the network can be named, and the types of its facts
    /// are known only when they are read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_map")]
    pub peers: Peers,
    /// The rules. Their order has no meaning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleText>,
    /// The parts that the machine itself may change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub amend: Vec<Part>,
}

/// A part of a policy that `amend` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// `facts`
    Facts,
    /// `alarms`
    Alarms,
    /// `peers`
    Peers,
    /// `rules`
    Rules,
}

/// The schema of one fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactSchema {
    /// Its type.
    #[serde(rename = "type")]
    pub ty: FactType,
    /// What it is while nobody has written it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub default: Option<Json>,
    /// The only values it can have.
    #[serde(default, rename = "enum", skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Json>>,
    /// Smallest value: numbers, timestamps, durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Json>,
    /// Largest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Json>,
    /// Who may write it; when left out, the machine itself and its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writers: Option<Vec<WriterPattern>>,
    /// The only changes it can make. Writing the value that it has is no change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transitions: Option<Vec<Transition>>,
    /// A condition over `old`, `new`, `writer`, `memory.*`, `intent.*` and `now` that must be true
    /// of every write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// How long a write counts; afterwards the fact is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Period>,
    /// Its value is shown nowhere: not in reads, traces, exports.
    #[serde(default, skip_serializing_if = "is_false")]
    pub secret: bool,
}

/// A change that a fact may make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transition {
    /// From this value; `null`: from having none.
    pub from: Json,
    /// To this value; `null`: the fact is deleted.
    pub to: Json,
    /// Who may make it; when left out, every writer of the fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Vec<WriterPattern>>,
}

/// An alarm: exactly one of `at`, `every`, `cron`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmText {
    /// Once, at this moment: RFC 3339 with an offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Again and again, this far apart, counted from when the alarm was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Period>,
    /// At the times of a cron pattern: minute, hour, day of month, month, day of week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The time zone of `cron`, such as `Europe/Rome`; UTC when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
    /// What becomes of firings that nobody was there for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub missed: Missed,
}

/// What becomes of missed firings of an alarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are forgotten.
    Skip,
    /// However many there were, it fires once.
    #[default]
    Once,
    /// It fires for each.
    All,
}

/// What a policy knows of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeerText {
    /// Name or id of the machine, when it is not the name that rules use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Types of its facts; when given, rules can use no others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "unique_map")]
    pub facts: BTreeMap<String, FactType>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// Its name in traces and refusals; unique in the policy.
    pub id: String,
    /// What it does while it stands.
    pub effect: Effect,
    /// The condition that makes it stand.
    pub when: String,
    /// How long `when` must be true before the rule stands.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasting: Option<Period>,
    /// Once it stands, it does so until this condition is true, whatever becomes of `when`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How long the condition for its end must last before it falls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_for: Option<Period>,
    /// How long after its end it cannot stand again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Period>,
    /// How deep a `rest` goes; `stop` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Depth>,
    /// Where a `notify` goes: the name of a hook of the app, or a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why the rule is there, for its readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a rule does while it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Keeps the machine awake.
    Hold,
    /// Wakes it.
    Wake,
    /// Puts it to rest.
    Rest,
    /// Lets nothing wake it but its owner's override.
    DenyWake,
    /// Lets nothing but a call put it to rest.
    DenyRest,
    /// Tells somebody, once each time it begins to stand.
    Notify,
    /// Stops it and marks it for removal.
    Retire,
}

impl Effect {
    /// The word in a document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Wake => "wake",
            Self::Rest => "rest",
            Self::DenyWake => "deny_wake",
            Self::DenyRest => "deny_rest",
            Self::Notify => "notify",
            Self::Retire => "retire",
        }
    }

    /// What an unknown condition means: a hold keeps what it was for a while, a deny denies, and
    /// everything else does nothing. Source: design, section 7, "Three values".
    #[must_use]
    pub const fn when_unknown(self) -> WhenUnknown {
        match self {
            Self::Hold => WhenUnknown::LastForAWhile,
            Self::DenyWake | Self::DenyRest => WhenUnknown::Stands,
            Self::Wake | Self::Rest | Self::Notify | Self::Retire => WhenUnknown::DoesNotStand,
        }
    }
}

/// What an unknown condition means for a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenUnknown {
    /// It does not stand.
    DoesNotStand,
    /// It is what it was, at most [`crate::limits::UNKNOWN_HOLD_MAX`]; then it does not stand.
    LastForAWhile,
    /// It stands.
    Stands,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no policy document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It has too many bytes.
    #[error("a policy of {bytes} bytes is longer than {DOCUMENT_BYTES_MAX}")]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// It is not JSON, or not of the right shape.
    #[error("{message} at line {line} column {column}{}", at_path(path))]
    Shape {
        /// The field: `rules[0].when`; empty for the whole document.
        path: String,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1; 0 where the line has none.
        column: usize,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

fn at_path(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(", in `{path}`") }
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// [`DocumentError`] names the first wrong field and its place.
    pub fn parse(text: &[u8]) -> Result<Self, DocumentError> {
        if text.len() > DOCUMENT_BYTES_MAX {
            return Err(DocumentError::TooLong { bytes: text.len() });
        }
        let is_object = text.trim_ascii_start().starts_with(b"{");
        if !is_object {
            let message = "a policy is a JSON object".to_owned();
            return Err(DocumentError::Shape {
                path: String::new(),
                line: 1,
                column: 1,
                message,
                hint: None,
            });
        }
        let mut json = serde_json::Deserializer::from_slice(text);
        let document = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            shape(if path == "." { String::new() } else { path }, &error.into_inner())
        })?;
        json.end().map_err(|error| shape(String::new(), &error))?;
        Ok(document)
    }

    /// The document in its one canonical form: sorted keys, no blanks, nothing that is left at its
    /// default, lengths of time in their shortest spelling.
    #[must_use]
    pub fn canonical(&self) -> String {
        let json = serde_json::to_value(self).expect("a document has text keys and finite numbers");
        crate::canonical::text(&json)
    }

    /// The name of this content: SHA-256 of [`Document::canonical`].
    #[must_use]
    pub fn hash(&self) -> Digest {
        use sha2::Digest as _;
        let bytes = sha2::Sha256::digest(self.canonical());
        let text = format!("sha256:{}", model::ids::hex_of(&bytes));
        text.parse().expect("a SHA-256 in lower-case hex is a digest")
    }
}

fn shape(path: String, error: &serde_json::Error) -> DocumentError {
    let text = error.to_string();
    let (line, column) = (error.line(), error.column());
    let place = format!(" at line {line} column {column}");
    let message = text.strip_suffix(&place).unwrap_or(&text).to_owned();
    let hint = words_hint(&message);
    DocumentError::Shape { path, line, column, message, hint }
}

/// From serde's "unknown field `a`, expected one of `b`, `c`": which of them `a` was meant to be.
fn words_hint(message: &str) -> Option<String> {
    let is_choice = message.starts_with("unknown field") || message.starts_with("unknown variant");
    let mut words = message.split('`').skip(1).step_by(2);
    let word = words.next().filter(|_| is_choice)?;
    did_you_mean(word, words)
}

/// Keeps `null` apart from "not given".
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
