//! Lengths of time as Go writes them: `"15s"`, `"1m30s"`, `"500ms"`, or an integer of nanoseconds.

use model::DurationMs;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// A length of time in nanoseconds; negative ones can be written but nothing accepts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub i64);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration; write it like `500ms`, `15s` or `1m30s`")]
pub struct InvalidDuration {
    text: String,
}

/// Longest text that is looked at: Go's own longest form has 22 characters.
const TEXT_MAX_BYTES: usize = 64;

const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl GoDuration {
    /// `ms` milliseconds.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(i64::try_from(u128::from(ms) * 1_000_000).unwrap_or(i64::MAX))
    }

    /// In whole milliseconds, rounded up so that a short wish does not become none; negative is
    /// zero.
    #[must_use]
    pub fn to_ms(self) -> DurationMs {
        DurationMs(u64::try_from(self.0).unwrap_or(0).div_ceil(1_000_000))
    }
}

impl FromStr for GoDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let invalid = || InvalidDuration { text: text.chars().take(TEXT_MAX_BYTES).collect() };
        if text.len() > TEXT_MAX_BYTES {
            return Err(invalid());
        }
        let (is_negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total_ns = 0_i128;
        while !rest.is_empty() {
            let (part_ns, after) = leading_part(rest).ok_or_else(invalid)?;
            total_ns += part_ns;
            rest = after;
        }
        let signed = if is_negative { -total_ns } else { total_ns };
        i64::try_from(signed).map(Self).map_err(|_out_of_range| invalid())
    }
}

/// The nanoseconds of the first `<number><unit>` of `text`, and what follows it.
fn leading_part(text: &str) -> Option<(i128, &str)> {
    let number_len = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(number_len);
    let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_len);
    let unit_ns = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() > 18 || fraction.len() > 18 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut part_ns = whole * unit_ns;
    let mut scale = 1_i128;
    let mut digits = 0_i128;
    for digit in fraction.chars() {
        digits = digits * 10 + i128::from(digit.to_digit(10)?);
        scale *= 10;
    }
    part_ns += digits * unit_ns / scale;
    Some((part_ns, after))
}

impl fmt::Display for GoDuration {
    /// The form of Go's `Duration.String`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match ns {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{ns}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(ns, 1_000)),
            1_000_000..1_000_000_000 => write!(f, "{}ms", decimal(ns, 1_000_000)),
            _ => {
                let minutes = ns / 60_000_000_000;
                let seconds = decimal(ns % 60_000_000_000, 1_000_000_000);
                match (minutes / 60, minutes % 60) {
                    (0, 0) => write!(f, "{seconds}s"),
                    (0, m) => write!(f, "{m}m{seconds}s"),
                    (h, m) => write!(f, "{h}h{m}m{seconds}s"),
                }
            }
        }
    }
}

/// `value / unit` as a decimal number without trailing zeros.
fn decimal(value: u64, unit: u64) -> String {
    let fraction = value % unit;
    if fraction == 0 {
        return (value / unit).to_string();
    }
    let places = unit.ilog10() as usize;
    let digits = format!("{fraction:0places$}");
    format!("{}.{}", value / unit, digits.trim_end_matches('0'))
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = GoDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration like \"15s\" or an integer of nanoseconds")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GoDuration, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, ns: i64) -> Result<GoDuration, E> {
                Ok(GoDuration(ns))
            }
            fn visit_u64<E: serde::de::Error>(self, ns: u64) -> Result<GoDuration, E> {
                i64::try_from(ns).map(GoDuration).map_err(E::custom)
            }
        }
        from.deserialize_any(Either).map_err(D::Error::custom)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A length of time as Go writes it, or an integer of nanoseconds.",
            "type": ["string", "integer"],
            "examples": ["15s", "1m30s", "500ms"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::GoDuration;

    #[track_caller]
    fn check(text: &str, ns: i64, printed: &str) {
        let parsed: GoDuration = text.parse().expect(text);
        assert_eq!((parsed.0, parsed.to_string().as_str()), (ns, printed), "{text}");
    }

    #[track_caller]
    fn refuse(text: &str) {
        assert!(text.parse::<GoDuration>().is_err(), "{text}");
    }

    #[test]
    fn durations_read_and_print_as_go_does() {
        check("15s", 15_000_000_000, "15s");
        check("1m30s", 90_000_000_000, "1m30s");
        check("90s", 90_000_000_000, "1m30s");
        check("1h", 3_600_000_000_000, "1h0m0s");
        check("500ms", 500_000_000, "500ms");
        check("1.5s", 1_500_000_000, "1.5s");
        check(".5s", 500_000_000, "500ms");
        check("1.5ms", 1_500_000, "1.5ms");
        check("2us", 2_000, "2µs");
        check("7ns", 7, "7ns");
        check("0", 0, "0s");
        check("0s", 0, "0s");
        check("-2s", -2_000_000_000, "-2s");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "s", "5", "5x", "5 s", "1..5s", ".s", "--5s", "99999999999999999999s"] {
            refuse(text);
        }
        refuse(&"1s".repeat(100));
        refuse("9999999999h");
    }

    #[test]
    fn json_takes_text_or_nanoseconds() {
        let read = |json: &str| serde_json::from_str::<GoDuration>(json).map(|d| d.0);
        assert_eq!(read("\"10s\"").expect("text"), 10_000_000_000);
        assert_eq!(read("2000000000").expect("number"), 2_000_000_000);
        assert!(read("true").is_err());
        assert!(read("\"soon\"").is_err());
    }

    #[test]
    fn milliseconds_round_up() {
        assert_eq!(GoDuration(1).to_ms().0, 1);
        assert_eq!(GoDuration(-5).to_ms().0, 0);
        assert_eq!(GoDuration::from_ms(1_500).to_string(), "1.5s");
    }
}
