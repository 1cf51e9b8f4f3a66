//! Days and months in UTC, and moments as people read them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use model::{DurationMs, UnixMs};

/// A stretch of the calendar over which usage is counted, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calendar {
    Day,
    Month,
}

impl Calendar {
    /// When the stretch that holds `now` began.
    pub(crate) fn start(self, now: UnixMs) -> UnixMs {
        midnight(self.first_day(now))
    }

    /// When the next one begins.
    pub(crate) fn next(self, now: UnixMs) -> UnixMs {
        let step = match self {
            Self::Day => 1.day(),
            Self::Month => 1.month(),
        };
        midnight(self.first_day(now).saturating_add(step))
    }

    fn first_day(self, now: UnixMs) -> Date {
        let date = timestamp(now).to_zoned(TimeZone::UTC).date();
        match self {
            Self::Day => date,
            Self::Month => date.first_of_month(),
        }
    }
}

fn midnight(date: Date) -> UnixMs {
    let zoned = date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp().as_millisecond());
    UnixMs(zoned.ok().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0))
}

/// Moments past the end of the calendar are its end.
fn timestamp(at: UnixMs) -> Timestamp {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

/// A moment for a sentence: the time alone when it is close to `now`, else with its date; in UTC
/// unless a zone is named.
pub(crate) fn clock_text(at: UnixMs, now: UnixMs, zone: Option<&str>) -> String {
    let named =
        zone.and_then(|name| Some((name, jiff::tz::TimeZoneDatabase::bundled().get(name).ok()?)));
    let (name, zone) = named.unwrap_or(("UTC", TimeZone::UTC));
    let is_near = at.since(now).max(now.since(at)) < DurationMs::from_secs(20 * 3600);
    let format = if is_near { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    format!("{} {name}", timestamp(at).to_zoned(zone).strftime(format))
}

/// A length of time for a sentence, in its largest unit.
pub(crate) fn span_text(span: DurationMs) -> String {
    let seconds = span.0.div_ceil(1000);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-28T23:30:00Z
    const EVE: UnixMs = UnixMs(1_772_321_400_000);

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        assert_eq!(Calendar::Day.next(EVE), UnixMs(EVE.0 + 1_800_000));
        assert_eq!(Calendar::Month.next(EVE), Calendar::Day.next(EVE));
        assert_eq!(EVE.since(Calendar::Day.start(EVE)).0, 23 * 3_600_000 + 1_800_000);
        assert_eq!(EVE.since(Calendar::Month.start(EVE)).0 / 86_400_000, 27);
    }

    #[test]
    fn every_moment_has_a_place() {
        for at in [UnixMs(0), UnixMs(u64::MAX)] {
            assert!(Calendar::Month.start(at) <= at);
            assert!(!clock_text(at, EVE, None).is_empty());
        }
    }

    #[test]
    fn moments_read_like_on_a_clock() {
        assert_eq!(clock_text(EVE, EVE, None), "23:30 UTC");
        assert_eq!(clock_text(EVE, EVE, Some("Europe/Rome")), "00:30 Europe/Rome");
        assert_eq!(clock_text(EVE, UnixMs(0), None), "2026-02-28 23:30 UTC");
        assert_eq!(span_text(DurationMs::from_secs(5 * 3600 + 60)), "5 h");
    }
}
