//! What a machine has used, by day and by month.

use crate::calendar::Calendar;
use model::{DurationMs, UnixMs};
use policy::{Level, Reading, Value};
use serde::{Deserialize, Serialize};

/// What a machine has used this day and this month.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Of the day in which something was last counted.
    pub day: Tally,
    /// Of the month.
    pub month: Tally,
    /// Since when it is up; what lies between is not yet counted.
    pub up_since: Option<UnixMs>,
}

/// What was counted in one stretch of the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// When the stretch began.
    pub start: UnixMs,
    /// Time up, in milliseconds; without the present one.
    pub started_ms: u64,
    /// CPU time, in milliseconds.
    pub cpu_ms: u64,
    /// Governed wakes.
    pub wakes: u32,
}

impl Tally {
    /// The tally of the stretch that holds `now`: empty when another one was counted last.
    fn at(self, calendar: Calendar, now: UnixMs) -> Self {
        let start = calendar.start(now);
        if self.start == start { self } else { Self { start, ..Self::default() } }
    }
}

impl Usage {
    pub(crate) fn tally(&self, calendar: Calendar, now: UnixMs) -> Tally {
        let kept = match calendar {
            Calendar::Day => self.day,
            Calendar::Month => self.month,
        };
        kept.at(calendar, now)
    }

    /// The reading of `usage.started_s_*`.
    pub(crate) fn started(&self, calendar: Calendar, now: UnixMs) -> Reading {
        let tally = self.tally(calendar, now);
        let next = calendar.next(now);
        match self.up_since {
            Some(up) => {
                let counted_from = up.max(tally.start).0;
                Reading::since(UnixMs(counted_from.saturating_sub(tally.started_ms)))
                    .then(next, Level::Since(next))
            }
            None => {
                let seconds = i64::try_from(tally.started_ms / 1000).unwrap_or(i64::MAX);
                Reading::known(seconds).then(next, Level::Known(Value::Int(0)))
            }
        }
    }

    /// It came up; says whether that is news.
    pub(crate) fn begin(&mut self, at: UnixMs) -> bool {
        let is_news = self.up_since.is_none();
        self.up_since.get_or_insert(at);
        is_news
    }

    /// It came to rest.
    pub(crate) fn end(&mut self, at: UnixMs) {
        let Some(up) = self.up_since.take() else { return };
        self.count(at, |tally| {
            let DurationMs(ms) = at.since(up.max(tally.start));
            tally.started_ms = tally.started_ms.saturating_add(ms);
        });
    }

    /// Counts something in the day and the month that hold `at`.
    pub(crate) fn count(&mut self, at: UnixMs, add: impl Fn(&mut Tally)) {
        for (tally, calendar) in
            [(&mut self.day, Calendar::Day), (&mut self.month, Calendar::Month)]
        {
            *tally = tally.at(calendar, at);
            add(tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-28T23:30:00Z
    const EVE: UnixMs = UnixMs(1_772_321_400_000);
    const HOUR: DurationMs = DurationMs::from_secs(3600);

    #[test]
    fn a_run_over_midnight_counts_in_each_day_what_lay_in_it() {
        let mut usage = Usage::default();
        assert!(usage.begin(EVE) && !usage.begin(EVE));
        let later = EVE.plus(HOUR);
        assert_eq!(
            usage.started(Calendar::Day, EVE).then.map(|t| t.0),
            Some(Calendar::Day.next(EVE))
        );
        assert_eq!(usage.started(Calendar::Day, later), {
            let midnight = Calendar::Day.start(later);
            let next = Calendar::Day.next(later);
            Reading::since(midnight).then(next, Level::Since(next))
        });
        usage.end(later);
        assert_eq!(usage.tally(Calendar::Day, later).started_ms, HOUR.0 / 2);
        assert_eq!(usage.tally(Calendar::Month, later).started_ms, HOUR.0 / 2, "March has begun");
        usage.end(later.plus(HOUR));
        assert_eq!(usage.tally(Calendar::Day, later).started_ms, HOUR.0 / 2, "told twice");
    }
}
