//! Lengths of time: seconds, or text with units.

use ::policy::period::Period;
use model::DurationMs;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A length of time of at most 366 days: a number of seconds, or a text like `"90s"`, `"1h30m"`. It
/// is written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Period);

impl Span {
    /// So many seconds; the longest period at most.
    #[must_use]
    pub fn from_secs(seconds: u64) -> Self {
        let longest = ::policy::limits::PERIOD_MAX;
        Self(Period(DurationMs(seconds.saturating_mul(1000)).min(longest)))
    }

    /// In milliseconds.
    #[must_use]
    pub const fn to_ms(self) -> DurationMs {
        self.0.0
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds, or a length of time like \"90s\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map(Span).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Span, E> {
                format!("{seconds}s").parse().map(Span).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Span, E> {
                let seconds = u64::try_from(seconds).map_err(E::custom)?;
                self.visit_u64(seconds)
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time of at most 366 days: seconds, or text with units.",
            "type": ["string", "integer"],
            "minimum": 0,
            "examples": ["90s", "1h30m", 90],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[track_caller]
    fn check(json: &str, ms: Option<u64>) {
        let span = serde_json::from_str::<Span>(json).ok();
        assert_eq!(span.map(|span| span.to_ms().0), ms, "{json}");
    }

    #[test]
    fn spans_are_seconds_or_text() {
        check("60", Some(60_000));
        check("\"60s\"", Some(60_000));
        check("\"1h30m\"", Some(5_400_000));
        check("0", Some(0));
        for wrong in ["-1", "1.5", "\"soon\"", "true", "null", "99999999999999", "\"367d\""] {
            check(wrong, None);
        }
        let text = serde_json::to_string(&Span::from_secs(90)).expect("plain");
        assert_eq!(text, "\"1m30s\"");
        assert_eq!(Span::from_secs(u64::MAX).0.to_string(), "366d");
    }
}
