//! Moments as RFC 3339 text with milliseconds.

use crate::contract::moment::rfc3339;
use model::UnixMs;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A moment: `2026-11-21T10:00:00Z`, with milliseconds where there are any. Any offset is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub UnixMs);

/// Why a text is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no moment; expected RFC 3339 with an offset, such as `2026-11-21T10:00:00Z`")]
pub struct InvalidMoment {
    text: String,
}

/// Longest text that is looked at: with nanoseconds, offset and zone it has 60 characters.
const TEXT_BYTES_MAX: usize = 80;

impl FromStr for Moment {
    type Err = InvalidMoment;

    fn from_str(text: &str) -> Result<Self, InvalidMoment> {
        let is_short = text.len() <= TEXT_BYTES_MAX;
        let at = is_short.then(|| text.parse::<jiff::Timestamp>().ok()).flatten();
        let ms = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
        let shown = || text.chars().take(TEXT_BYTES_MAX).collect();
        ms.map(|ms| Self(UnixMs(ms))).ok_or_else(|| InvalidMoment { text: shown() })
    }
}

impl TryFrom<String> for Moment {
    type Error = InvalidMoment;
    fn try_from(text: String) -> Result<Self, InvalidMoment> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl From<UnixMs> for Moment {
    fn from(at: UnixMs) -> Self {
        Self(at)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = rfc3339(self.0);
        match self.0.0 % 1000 {
            0 => f.write_str(&seconds),
            ms => write!(f, "{}.{ms:03}Z", seconds.trim_end_matches('Z')),
        }
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A moment: RFC 3339 with an offset; in answers in UTC.",
            "type": "string",
            "format": "date-time",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Moment, UnixMs};

    #[track_caller]
    fn check(text: &str, ms: u64, printed: &str) {
        let moment: Moment = text.parse().expect(text);
        assert_eq!((moment.0, moment.to_string().as_str()), (UnixMs(ms), printed));
        assert_eq!(printed.parse(), Ok(moment));
    }

    #[test]
    fn moments_keep_their_milliseconds() {
        check("2026-11-21T10:00:00Z", 1_795_255_200_000, "2026-11-21T10:00:00Z");
        check("2026-11-21T11:00:00.250+01:00", 1_795_255_200_250, "2026-11-21T10:00:00.250Z");
    }

    #[test]
    fn what_is_no_moment() {
        for text in
            ["", "soon", "09:00", "2026-11-21", "2026-11-21T10:00:00", "1960-01-01T00:00:00Z"]
        {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        assert!("9".repeat(100).parse::<Moment>().is_err());
    }
}
