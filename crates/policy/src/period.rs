//! Lengths of time as people write them: `90s`, `10m`, `1h30m`.

use crate::limits::PERIOD_MAX;
use model::DurationMs;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A length of time in a policy, at most [`PERIOD_MAX`]; in JSON a text such as `"90s"` or `"1h30m"`.
///
/// It is written back in its shortest form, so that `"60s"` and `"1m"` are the same policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub DurationMs);

/// Why a text is not a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPeriod {
    /// It is not a row of numbers with units.
    #[error("expected a length of time such as `90s`, `10m` or `1h30m` (units: ms, s, m, h, d)")]
    Spelling,
    /// It is longer than [`PERIOD_MAX`].
    #[error("longer than 366 days")]
    TooLong,
}

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let millis = parse_ms(text).ok_or(InvalidPeriod::Spelling)?;
        match u64::try_from(millis) {
            Ok(millis) if millis <= PERIOD_MAX.0 => Ok(Self(DurationMs(millis))),
            Ok(_) => Err(InvalidPeriod::TooLong),
            Err(_) => Err(InvalidPeriod::Spelling),
        }
    }
}

/// Milliseconds of a text such as `-1h30m` or `1.5s`; a fraction of a millisecond is dropped.
///
/// The spellings are those of CEL's `duration()`, and days.
pub(crate) fn parse_ms(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    if rest.is_empty() || text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let whole = take(&mut rest, |c| c.is_ascii_digit());
        let fraction = rest.strip_prefix('.').map(|after| {
            rest = after;
            take(&mut rest, |c| c.is_ascii_digit())
        });
        let unit = take(&mut rest, |c| c.is_ascii_alphabetic());
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        if whole.is_empty() || fraction.is_some_and(str::is_empty) {
            return None;
        }
        let part = whole.parse::<u64>().ok()?.checked_mul(*millis)?;
        let part = part.checked_add(fraction_ms(fraction.unwrap_or_default(), *millis)?)?;
        total = total.checked_add(i64::try_from(part).ok()?)?;
    }
    Some(sign * total)
}

/// Longest spelling that is looked at.
const TEXT_BYTES_MAX: usize = 64;

fn take<'a>(rest: &mut &'a str, is_part: fn(char) -> bool) -> &'a str {
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let (part, after) = rest.split_at(end);
    *rest = after;
    part
}

/// `0.digits` of a unit of `millis`; digits past the ninth are below any clock and dropped.
fn fraction_ms(digits: &str, millis: u64) -> Option<u64> {
    let digits = &digits[..digits.len().min(9)];
    if digits.is_empty() {
        return Some(0);
    }
    let scale = 10_u64.checked_pow(u32::try_from(digits.len()).ok()?)?;
    Some(digits.parse::<u64>().ok()? * millis / scale)
}

impl TryFrom<String> for Period {
    type Error = InvalidPeriod;
    fn try_from(text: String) -> Result<Self, InvalidPeriod> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0.0;
        for (unit, millis) in UNITS.iter().rev() {
            let count = rest / millis;
            rest %= millis;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: Option<u64>) {
        let period = text.parse::<Period>().ok();
        assert_eq!(period.map(|p| p.0.0), millis, "{text}");
        if let Some(period) = period {
            assert_eq!(period.to_string().parse(), Ok(period), "{text}");
        }
    }

    #[test]
    fn spellings() {
        check("60s", Some(60_000));
        check("10m", Some(600_000));
        check("1h", Some(3_600_000));
        check("1h30m", Some(5_400_000));
        check("1.5s", Some(1_500));
        check("250ms", Some(250));
        check("2d", Some(172_800_000));
        check("0s", Some(0));
        check("366d", Some(PERIOD_MAX.0));
    }

    #[test]
    fn what_is_no_length_of_time() {
        for text in
            ["", "-", "60", "s", "1.s", ".5s", "1 s", "1w", "-1s", "1e3s", "١s", "1s ", "𝟙s"]
        {
            check(text, None);
        }
        check("99999999999999999999s", None);
        check("18446744073709551615d", None);
        check("367d", None);
        check(&"1s".repeat(40), None);
    }

    #[test]
    fn one_meaning_has_one_spelling() {
        assert_eq!("60s".parse::<Period>().map(|p| p.to_string()).as_deref(), Ok("1m"));
    }
}
