//! What a condition reads, and what it answers.
//!
//! Values that grow while time passes come in as the moment at which they were zero, never as a
//! number of seconds: only so can the next moment be computed at which an answer changes.

use crate::names::Name;
use crate::value::Value;
use model::UnixMs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where values come from: a snapshot, asked only for the names that a condition uses.
pub trait Values {
    /// The reading of `name`. [`Name::Platform`] with `Now` is never asked for.
    fn read(&self, name: &Name) -> Reading;
}

/// What is known of a name now, and what time alone will make of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What it is now.
    pub level: Level,
    /// What it becomes by itself, and when: a fact expires, an alarm falls due, a month begins.
    ///
    /// A change that lies in the past has happened.
    pub then: Option<(UnixMs, Level)>,
}

/// What a name is while nobody writes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Level {
    /// This value.
    Known(Value),
    /// Whole seconds since then: `int`, never negative. For what has been counted already, the
    /// moment lies that much earlier.
    Since(UnixMs),
    /// Nobody knows.
    Absent(Absence),
}

/// Why a name has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// It was never written. A fact's default takes its place.
    Missing,
    /// It was written, and its `ttl` is over.
    Expired,
    /// There is no such peer, or it may not be read.
    NoPeer,
}

impl Reading {
    /// A value that stays.
    pub fn known(value: impl Into<Value>) -> Self {
        Level::Known(value.into()).into()
    }

    /// Seconds since `zero_at`.
    #[must_use]
    pub const fn since(zero_at: UnixMs) -> Self {
        Self { level: Level::Since(zero_at), then: None }
    }

    /// No value.
    #[must_use]
    pub const fn absent(why: Absence) -> Self {
        Self { level: Level::Absent(why), then: None }
    }

    /// The same until `at`, then `level`.
    #[must_use]
    pub fn then(self, at: UnixMs, level: Level) -> Self {
        Self { then: Some((at, level)), ..self }
    }
}

impl From<Level> for Reading {
    fn from(level: Level) -> Self {
        Self { level, then: None }
    }
}

/// The answer of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// Yes.
    True,
    /// No.
    False,
    /// Nobody can say: it starts nothing and stops nothing.
    Unknown(Unknown),
}

impl Truth {
    /// Whether it is [`Truth::True`].
    #[must_use]
    pub const fn is_true(&self) -> bool {
        matches!(self, Self::True)
    }
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }
}

/// Why an answer is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Unknown {
    /// A name has no value.
    #[error("`{name}` {absence}")]
    Absent {
        /// The name.
        name: Arc<str>,
        /// Why not.
        absence: Absence,
    },
    /// A name's value is not of its declared type: it was written before the policy was.
    #[error("the value of `{name}` is not of its declared type")]
    WrongType {
        /// The name.
        name: Arc<str>,
    },
    /// Two values whose types have nothing in common.
    #[error("values of different types cannot be used together")]
    Mismatch,
    /// A division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A result that its type cannot hold.
    #[error("a number is out of range")]
    Overflow,
    /// A computed text that is too long.
    #[error("a text is too long")]
    TextTooLong,
    /// A list has no such item.
    #[error("the list has no such item")]
    NoItem,
    /// A text that is no moment or length of time.
    #[error("a text is no time")]
    NotATime,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "has no value",
            Self::Expired => "has expired",
            Self::NoPeer => "is of no machine that can be read",
        })
    }
}

/// The answer of a condition, with everything it was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The answer.
    pub truth: Truth,
    /// The value of each name in the condition, in the order of the text.
    pub reads: Vec<Read>,
}

/// A name, and what was read for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Read {
    /// The name as written: `memory.progress`.
    pub name: Arc<str>,
    /// What was read.
    pub value: Observed,
}

/// What was read for a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// A value; clocks as the number they showed.
    Value(Value),
    /// A value that must not be shown.
    Secret,
    /// None.
    Unknown(Unknown),
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Secret => f.write_str("(secret)"),
            Self::Unknown(_) => f.write_str("unknown"),
        }
    }
}

/// Values as an earlier outcome recorded them: what a replay reads.
///
/// A secret value was not recorded, so a replay cannot judge a rule that reads one: it is missing.
#[derive(Clone, Debug, Default)]
pub struct Recorded(BTreeMap<String, Reading>);

impl Recorded {
    /// The values of `reads`.
    pub fn new<'a>(reads: impl IntoIterator<Item = &'a Read>) -> Self {
        Self(reads.into_iter().map(|read| (read.name.to_string(), reading(&read.value))).collect())
    }
}

fn reading(observed: &Observed) -> Reading {
    match observed {
        Observed::Value(value) => Reading::known(value.clone()),
        Observed::Unknown(Unknown::Absent { absence, .. }) => Reading::absent(*absence),
        // A list is the type of no name that could have been of a wrong one.
        Observed::Unknown(_) => Reading::known(Value::List([Value::List([].into())].into())),
        Observed::Secret => Reading::absent(Absence::Missing),
    }
}

impl Values for Recorded {
    fn read(&self, name: &Name) -> Reading {
        let recorded = self.0.get(&name.to_string());
        recorded.cloned().unwrap_or_else(|| Reading::absent(Absence::Missing))
    }
}
