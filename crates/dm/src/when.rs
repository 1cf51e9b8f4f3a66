//! Moments and spans as people write them.
//!
//! Moments that depend on now are resolved here, by the clock of the machine; its wall shows UTC.
//! All others are passed on as they are.

use std::time::Duration;

/// Longest span: what the host takes, 366 days.
const SPAN_MAX_S: u64 = 366 * DAY_S;

const DAY_S: u64 = 24 * 3600;

/// What a moment looks like, for hints.
pub const MOMENT_FORMS: &str =
    "a moment is `+90s`, `+1h30m`, `09:00` (the next in UTC) or RFC 3339: `2026-11-21T10:00:00Z`";

/// What a span looks like, for hints.
pub const SPAN_FORMS: &str = "a span is e.g. `90`, `90s`, `5m`, `1h30m`, `7d`";

/// Unix time in seconds.
#[must_use]
pub fn now_s() -> u64 {
    model::clock::now().0 / 1000
}

/// The moment that `text` means at `now_s`, as RFC 3339; `None` when it means none.
#[must_use]
pub fn moment(text: &str, now_s: u64) -> Option<String> {
    if let Some(span) = text.strip_prefix('+') {
        return Some(rfc3339(now_s + self::span(span)?.as_secs()));
    }
    if let Some(time_s) = time_of_day(text) {
        let today = now_s - now_s % DAY_S + time_s;
        return Some(rfc3339(if today > now_s { today } else { today + DAY_S }));
    }
    let has_year = text.len() > 5 && text.bytes().take(4).all(|b| b.is_ascii_digit());
    (has_year && text.as_bytes()[4] == b'-').then(|| text.to_owned())
}

/// Whole seconds of `90`, `90s`, `1h30m`; `None` when it is no span, or one longer than 366 days.
#[must_use]
pub fn span(text: &str) -> Option<Duration> {
    let mut total_s = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..end].parse().ok()?;
        let unit = rest[end..].chars().next();
        let unit_s = match unit {
            Some('s') => 1,
            None if end == text.len() => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => DAY_S,
            Some(_) | None => return None,
        };
        total_s = number.checked_mul(unit_s)?.checked_add(total_s)?;
        rest = &rest[end + unit.map_or(0, char::len_utf8)..];
    }
    (!text.is_empty() && total_s <= SPAN_MAX_S).then_some(Duration::from_secs(total_s))
}

/// Seconds after midnight of `HH:MM` or `HH:MM:SS`.
fn time_of_day(text: &str) -> Option<u64> {
    let mut total_s = 0;
    let mut parts = text.split(':');
    for (limit, unit_s) in [(24, 3600), (60, 60), (60, 1)] {
        let Some(part) = parts.next() else {
            return (unit_s == 1).then_some(total_s);
        };
        let is_number = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        let number: u64 = part.parse().ok().filter(|n| is_number && *n < limit)?;
        total_s += number * unit_s;
    }
    parts.next().is_none().then_some(total_s)
}

/// Unix time as `2026-11-21T10:00:00Z`.
fn rfc3339(unix_s: u64) -> String {
    let (year, month, day) = civil_date(unix_s / DAY_S);
    let (hour, minute, second) = (unix_s / 3600 % 24, unix_s / 60 % 60, unix_s % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
///
/// Years begin on 1 March, so that a leap day is the last of its year.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // 0000-03-01 to 1970-01-01
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T10:00:00Z
    const NOW_S: u64 = 1_795_255_200;

    #[track_caller]
    fn check_moment(text: &str, expected: Option<&str>) {
        assert_eq!(moment(text, NOW_S).as_deref(), expected, "{text}");
    }

    #[test]
    fn moments() {
        check_moment("+90s", Some("2026-11-21T10:01:30Z"));
        check_moment("+1h30m", Some("2026-11-21T11:30:00Z"));
        check_moment("+5", Some("2026-11-21T10:00:05Z"));
        check_moment("+10d", Some("2026-12-01T10:00:00Z"));
        check_moment("10:01", Some("2026-11-21T10:01:00Z"));
        check_moment("09:00", Some("2026-11-22T09:00:00Z"));
        check_moment("10:00", Some("2026-11-22T10:00:00Z"));
        check_moment("23:59:59", Some("2026-11-21T23:59:59Z"));
        check_moment("2027-01-01T00:00:00+01:00", Some("2027-01-01T00:00:00+01:00"));
        for wrong in ["", "soon", "+", "+5x", "24:00", "9:00", "09:60", "09", "12345", "+400d"] {
            check_moment(wrong, None);
        }
        check_moment("09:00:00:00", None);
    }

    #[track_caller]
    fn check_span(text: &str, seconds: Option<u64>) {
        assert_eq!(span(text), seconds.map(Duration::from_secs), "{text}");
    }

    #[test]
    fn spans() {
        check_span("90", Some(90));
        check_span("90s", Some(90));
        check_span("1h30m", Some(5400));
        check_span("0", Some(0));
        check_span("366d", Some(366 * 86_400));
        for wrong in ["", "s", "-5s", "1.5s", "5 s", "5m30", "367d", "5µ", "99999999999999999999s"]
        {
            check_span(wrong, None);
        }
    }

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(4_107_542_399), "2100-02-28T23:59:59Z");
    }
}
