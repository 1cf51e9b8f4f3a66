//! When an alarm fires.
//!
//! Cron patterns follow the clock on the wall of their time zone. A fixed time that a change of the
//! clock leaps over fires at the first moment after the leap; one that happens twice fires the first
//! time only. Patterns that repeat within the hour follow real time through both.

use crate::document::{AlarmText, Missed};
use crate::finding::Finding;
use crate::limits::{CATCH_UP_MAX, CRON_BYTES_MAX, EVERY_MIN, MISSED_AFTER, TIME_MAX_MS};
use crate::period::Period;
use crate::text::did_you_mean;
use crate::value::{parse_timestamp, signed_ms};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use model::{DurationMs, UnixMs};

/// A compiled alarm.
#[derive(Clone, Debug)]
pub struct Alarm {
    schedule: Schedule,
    missed: Missed,
}

#[derive(Clone, Debug)]
enum Schedule {
    At(UnixMs),
    Every(DurationMs),
    Cron(Box<Cron>, TimeZone),
}

/// Why an alarm cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlarmError {
    /// Not exactly one of the three.
    #[error("an alarm needs exactly one of `at`, `every` and `cron`")]
    NotOneSchedule,
    /// `at` is no moment.
    #[error("`at` is no moment such as `2026-01-31T09:00:00Z`")]
    At,
    /// `every` is too short.
    #[error("`every` is shorter than {}", Period(EVERY_MIN))]
    EveryTooShort,
    /// `cron` does not parse.
    #[error("`cron` is no pattern of five fields: {reason}")]
    Cron {
        /// What is wrong.
        reason: String,
    },
    /// `cron` names a day that no year has.
    #[error("`cron` never fires")]
    CronNever,
    /// No such time zone.
    #[error("there is no time zone `{tz}`")]
    TimeZone {
        /// The name.
        tz: String,
        /// A name it may have been.
        hint: Option<String>,
    },
    /// A time zone without cron.
    #[error("`tz` belongs to `cron`; write the offset into `at`")]
    TimeZoneAlone,
}

impl AlarmError {
    pub(crate) fn finding(self, name: &str) -> Finding {
        let field = match self {
            Self::NotOneSchedule => "",
            Self::At => ".at",
            Self::EveryTooShort => ".every",
            Self::Cron { .. } | Self::CronNever => ".cron",
            Self::TimeZone { .. } | Self::TimeZoneAlone => ".tz",
        };
        let finding = Finding::error(format!("alarms.{name}{field}"), self.to_string());
        match self {
            Self::TimeZone { hint: Some(hint), .. } => finding.hint(hint),
            Self::Cron { .. } => {
                finding.hint("minute hour day-of-month month day-of-week: `0 2 * * *`")
            }
            _ => finding,
        }
    }
}

/// What an alarm has to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The firings to be made now, each with the moment it was meant for, oldest first.
    pub firings: Vec<UnixMs>,
    /// There were more than [`CATCH_UP_MAX`]; the youngest were left out.
    pub is_cut: bool,
    /// The next one after now.
    pub next: Option<UnixMs>,
}

/// A clock set back by less than this does not make an alarm fire twice; set back by more, the past
/// that it remembers was never true, and it starts again from now.
const SET_BACK_MAX: DurationMs = DurationMs::from_secs(3600);

impl Alarm {
    /// Checks an alarm.
    ///
    /// # Errors
    /// [`AlarmError`] says what is wrong with it.
    pub fn compile(text: &AlarmText) -> Result<Self, AlarmError> {
        let schedule = match (&text.at, text.every, &text.cron) {
            (Some(at), None, None) => Schedule::At(moment(at)?),
            (None, Some(every), None) if every.0 < EVERY_MIN => {
                return Err(AlarmError::EveryTooShort);
            }
            (None, Some(every), None) => Schedule::Every(every.0),
            (None, None, Some(cron)) => {
                let schedule = Schedule::Cron(Box::new(pattern(cron)?), time_zone(text)?);
                let ever = Self { schedule, missed: text.missed };
                ever.next(UnixMs(0), FIRST_LOOK).ok_or(AlarmError::CronNever)?;
                return Ok(ever);
            }
            _ => return Err(AlarmError::NotOneSchedule),
        };
        if text.tz.is_some() {
            return Err(AlarmError::TimeZoneAlone);
        }
        Ok(Self { schedule, missed: text.missed })
    }

    /// The first firing after `after`, of an alarm set at `set_at`; `None`: it never fires again.
    #[must_use]
    pub fn next(&self, set_at: UnixMs, after: UnixMs) -> Option<UnixMs> {
        let next = match &self.schedule {
            Schedule::At(at) => (*at > after).then_some(*at),
            Schedule::Every(every) => {
                let n_over = after.since(set_at).0 / every.0;
                Some(set_at.plus(DurationMs(every.0.checked_mul(n_over + 1)?)))
            }
            Schedule::Cron(cron, tz) => next_of_cron(cron, tz, after),
        };
        next.filter(|next| next.0 <= TIME_MAX_MS)
    }

    /// What has to be done at `now`, when everything up to `last` has been done.
    #[must_use]
    pub fn due(&self, set_at: UnixMs, last: UnixMs, now: UnixMs) -> Due {
        let is_set_back = last.since(now) > SET_BACK_MAX;
        let last = if is_set_back { now } else { last };
        let (from, max) = match self.missed {
            Missed::Skip => (last.max(UnixMs(now.0.saturating_sub(MISSED_AFTER.0))), 1),
            Missed::Once => (last, 1),
            Missed::All => (last, CATCH_UP_MAX),
        };
        let mut firings = Vec::new();
        let mut at = from;
        let mut is_cut = false;
        while let Some(next) = self.next(set_at, at).filter(|next| *next <= now) {
            if firings.len() == max {
                is_cut = self.missed == Missed::All;
                break;
            }
            firings.push(next);
            at = next;
        }
        Due { firings, is_cut, next: self.next(set_at, now.max(last)) }
    }
}

/// Where the search begins that tells whether a pattern ever fires: before any machine was made.
const FIRST_LOOK: UnixMs = UnixMs(1_767_225_600_000); // 2026-01-01T00:00:00Z

fn moment(text: &str) -> Result<UnixMs, AlarmError> {
    let millis = parse_timestamp(text).and_then(|ms| u64::try_from(ms).ok());
    millis.filter(|ms| *ms <= TIME_MAX_MS).map(UnixMs).ok_or(AlarmError::At)
}

fn pattern(text: &str) -> Result<Cron, AlarmError> {
    if text.len() > CRON_BYTES_MAX {
        let reason = format!("{} bytes are more than {CRON_BYTES_MAX}", text.len());
        return Err(AlarmError::Cron { reason });
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| AlarmError::Cron { reason: error.to_string() })
}

/// Only the zones that come with the program count, so that a policy means the same on every host.
fn time_zone(text: &AlarmText) -> Result<TimeZone, AlarmError> {
    let Some(tz) = &text.tz else { return Ok(TimeZone::UTC) };
    let zones = TimeZoneDatabase::bundled();
    zones.get(tz).map_err(|_unknown_zone| {
        let names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
        let hint = did_you_mean(tz, names.iter().map(String::as_str));
        AlarmError::TimeZone { tz: tz.chars().take(64).collect(), hint }
    })
}

/// Firings are whole minutes, so the part of a second in `after` does not matter.
fn next_of_cron(cron: &Cron, tz: &TimeZone, after: UnixMs) -> Option<UnixMs> {
    let after = jiff::Timestamp::from_second(signed_ms(after) / 1000).ok()?;
    let next = cron.find_next_occurrence(&after.to_zoned(tz.clone()), false).ok()?;
    u64::try_from(next.timestamp().as_millisecond()).ok().map(UnixMs)
}

#[cfg(test)]
mod tests;
