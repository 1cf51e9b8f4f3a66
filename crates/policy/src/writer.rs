//! Who writes, and who may.

use crate::limits::NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Who writes a fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Writer {
    /// The machine itself: `self`.
    Machine,
    /// Its owner: `owner`.
    Owner,
    /// The holder of a token: `token:NAME`.
    Token(String),
    /// Another machine of its network, by name: `peer:NAME`.
    Peer(String),
    /// The platform: `platform`.
    Platform,
}

/// One or more writers: a [`Writer`], or `token:*` or `peer:*` for any of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WriterPattern(Writer);

/// Any name, in a pattern.
const ANY: &str = "*";

/// Who may write a fact whose schema names no writers.
pub(crate) fn default_writers() -> [WriterPattern; 2] {
    [WriterPattern(Writer::Machine), WriterPattern(Writer::Owner)]
}

impl WriterPattern {
    /// Whether `writer` is one of those that the pattern means.
    #[must_use]
    pub fn matches(&self, writer: &Writer) -> bool {
        match (&self.0, writer) {
            (Writer::Token(name), Writer::Token(_)) | (Writer::Peer(name), Writer::Peer(_))
                if name == ANY =>
            {
                true
            }
            (pattern, writer) => pattern == writer,
        }
    }
}

/// Why a text names no writer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no writer; expected `self`, `owner`, `platform`, `token:NAME` or `peer:NAME`")]
pub struct InvalidWriter {
    text: String,
}

fn parse(text: &str) -> Option<Writer> {
    let named = |name: &str| {
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len());
        (is_name && !name.contains(char::is_control)).then(|| name.to_owned())
    };
    match text.split_once(':') {
        None => match text {
            "self" => Some(Writer::Machine),
            "owner" => Some(Writer::Owner),
            "platform" => Some(Writer::Platform),
            _ => None,
        },
        Some(("token", name)) => named(name).map(Writer::Token),
        Some(("peer", name)) => named(name).map(Writer::Peer),
        Some(_) => None,
    }
}

impl FromStr for Writer {
    type Err = InvalidWriter;

    /// A writer is one somebody, so `token:*` is none.
    fn from_str(text: &str) -> Result<Self, InvalidWriter> {
        let is_any = |writer: &Self| matches!(writer, Self::Token(n) | Self::Peer(n) if n == ANY);
        parse(text).filter(|writer| !is_any(writer)).ok_or_else(|| invalid(text))
    }
}

impl FromStr for WriterPattern {
    type Err = InvalidWriter;
    fn from_str(text: &str) -> Result<Self, InvalidWriter> {
        parse(text).map(Self).ok_or_else(|| invalid(text))
    }
}

fn invalid(text: &str) -> InvalidWriter {
    InvalidWriter { text: text.chars().take(NAME_BYTES_MAX).collect() }
}

impl TryFrom<String> for Writer {
    type Error = InvalidWriter;
    fn try_from(text: String) -> Result<Self, InvalidWriter> {
        text.parse()
    }
}

impl TryFrom<String> for WriterPattern {
    type Error = InvalidWriter;
    fn try_from(text: String) -> Result<Self, InvalidWriter> {
        text.parse()
    }
}

impl From<Writer> for String {
    fn from(writer: Writer) -> Self {
        writer.to_string()
    }
}

impl From<WriterPattern> for String {
    fn from(pattern: WriterPattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("self"),
            Self::Owner => f.write_str("owner"),
            Self::Platform => f.write_str("platform"),
            Self::Token(name) => write!(f, "token:{name}"),
            Self::Peer(name) => write!(f, "peer:{name}"),
        }
    }
}

impl fmt::Display for WriterPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
