//! The time of a log line: RFC 3339, UTC, with nanoseconds.

use rustix::time::{ClockId, clock_gettime};

/// Now, e.g. `2026-01-31T23:59:59.000000001Z`.
///
/// Reads the clock itself: `model::clock` counts milliseconds, and lines come faster.
pub(crate) fn now_text() -> String {
    let now = clock_gettime(ClockId::Realtime);
    text(u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0))
}

fn text(unix_seconds: u64, nanoseconds: u64) -> String {
    let (year, month, day) = date(unix_seconds / 86_400);
    let of_day = unix_seconds % 86_400;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar.
///
/// Counts years from March, so that the leap day comes last, in cycles of 400 years.
const fn date(days: u64) -> (u64, u64, u64) {
    // 0000-03-01 is 719,468 days before 1970-01-01.
    let days = days + 719_468;
    let of_cycle = days % 146_097;
    let of_cycle_years =
        (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * of_cycle_years + of_cycle_years / 4 - of_cycle_years / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = days / 146_097 * 400 + of_cycle_years;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let check = |seconds, expected: &str| assert_eq!(text(seconds, 7), expected);
        check(0, "1970-01-01T00:00:00.000000007Z");
        check(951_782_399, "2000-02-28T23:59:59.000000007Z");
        check(951_868_799, "2000-02-29T23:59:59.000000007Z");
        check(951_868_800, "2000-03-01T00:00:00.000000007Z");
        check(4_107_542_400, "2100-03-01T00:00:00.000000007Z");
        check(1_798_761_599, "2026-12-31T23:59:59.000000007Z");
    }
}
