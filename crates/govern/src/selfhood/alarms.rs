//! Alarms of one machine.

use model::UnixMs;
use policy::document::AlarmText;
use policy::period::Period;
use policy::{Alarm, AlarmError, Policy, Writer};
use serde::{Deserialize, Serialize};

/// An alarm, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmEntry {
    /// As it was written.
    pub text: AlarmText,
    /// Where it came from.
    pub origin: AlarmOrigin,
    /// When it was set: `every` counts from here.
    pub set_at: UnixMs,
    /// All firings up to here have been made.
    pub last: UnixMs,
    /// When it fires next.
    pub next: Option<UnixMs>,
    /// It has fired and was not acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<DueAlarm>,
}

/// Where an alarm came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmOrigin {
    /// The policy has it, and takes it away.
    Policy,
    /// Somebody set it.
    Writer(Writer),
}

/// An alarm that has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueAlarm {
    /// Since when it is due: the time from which its staying awake counts.
    pub since: UnixMs,
    /// The moment that was meant.
    pub meant_for: UnixMs,
    /// Firings that wait for an ack: more than one with `missed: all` only.
    pub count: u32,
}

impl AlarmEntry {
    /// An alarm set at `now`; what lies before is not made up for.
    pub(crate) fn new(text: AlarmText, origin: AlarmOrigin, alarm: &Alarm, now: UnixMs) -> Self {
        let next = alarm.next(now, now);
        Self { text, origin, set_at: now, last: now, next, due: None }
    }

    /// Fires what is due at `now`; says whether anything did.
    pub(crate) fn fire(&mut self, name: &str, policy: &Policy, now: UnixMs) -> bool {
        self.count_from_here(now);
        // A moment comes once, whatever the clock says afterwards.
        let is_set_back = self.text.cron.is_some() && self.last.since(now) > SET_BACK_MAX;
        if !is_set_back && self.next.is_none_or(|next| now < next) {
            return false;
        }
        // Only a text that compiled was stored, so this fails for a damaged record alone.
        let Ok(alarm) = self.compiled(name, policy) else {
            self.next = None;
            return false;
        };
        let due = alarm.due(self.set_at, self.last, now);
        self.last = now;
        self.next = due.next;
        let Some(meant_for) = due.firings.first().copied() else { return false };
        let n_new = u32::try_from(due.firings.len()).unwrap_or(u32::MAX);
        let all = self.text.missed == policy::document::Missed::All;
        self.due = Some(match self.due {
            Some(old) if all => DueAlarm { count: old.count.saturating_add(n_new), ..old },
            Some(old) => DueAlarm { meant_for, ..old },
            None => DueAlarm { since: now, meant_for, count: n_new },
        });
        true
    }

    /// One that repeats after a length of time has never longer to wait than that: if it had, the
    /// clock was set back.
    fn count_from_here(&mut self, now: UnixMs) {
        let Some(Period(every)) = self.text.every else { return };
        if self.next.is_some_and(|next| next.since(now) > every) {
            (self.set_at, self.last, self.next) = (now, now, Some(now.plus(every)));
        }
    }

    /// One firing is done with.
    pub(crate) fn ack(&mut self, now: UnixMs) {
        self.due = self.due.filter(|due| due.count > 1).map(|due| DueAlarm {
            since: now,
            count: due.count - 1,
            ..due
        });
    }

    /// Whether the platform set it, for the `schedule` of the configuration.
    #[must_use]
    pub fn is_schedule(&self) -> bool {
        self.origin == AlarmOrigin::Writer(Writer::Platform)
    }

    /// Whether it is set by a writer and will never fire again: then it goes with its last ack.
    pub(crate) fn is_over(&self) -> bool {
        self.origin != AlarmOrigin::Policy && self.next.is_none() && self.due.is_none()
    }

    fn compiled(&self, name: &str, policy: &Policy) -> Result<Alarm, AlarmError> {
        match policy.alarms().get(name) {
            Some(alarm) if self.origin == AlarmOrigin::Policy => Ok(alarm.clone()),
            _ => Alarm::compile(&self.text),
        }
    }
}

/// A clock set back by more than this makes a pattern start again from now; the same as in
/// [`Alarm::due`].
const SET_BACK_MAX: model::DurationMs = model::DurationMs::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use model::DurationMs;
    use policy::document::Missed;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);
    const DAY: u64 = 24 * 3_600_000;

    fn entry(text: AlarmText) -> AlarmEntry {
        let alarm = Alarm::compile(&text).expect("it is an alarm");
        AlarmEntry::new(text, AlarmOrigin::Writer(Writer::Owner), &alarm, NOW)
    }

    fn text() -> AlarmText {
        AlarmText { at: None, every: None, cron: None, tz: None, missed: Missed::Once }
    }

    fn fires(alarm: &mut AlarmEntry, at: u64) -> bool {
        alarm.fire("a", &crate::no_policy(), UnixMs(at))
    }

    #[test]
    fn one_that_repeats_never_waits_longer_than_its_time() {
        let every = DurationMs::from_secs(60);
        let mut alarm = entry(AlarmText { every: Some(Period(every)), ..text() });
        assert!(fires(&mut alarm, NOW.0 + 60_000));
        for back in [90_000, 3_000_000, 30 * DAY] {
            let now = NOW.0 - back;
            assert!(!fires(&mut alarm, now), "{back}");
            assert_eq!(alarm.next, Some(UnixMs(now + 60_000)), "{back}");
            assert!(fires(&mut alarm, now + 60_000), "{back}");
        }
        assert!(fires(&mut alarm, NOW.0 + 30 * DAY), "set forward");
        assert_eq!(alarm.due.map(|due| due.count), Some(1));
    }

    #[test]
    fn a_moment_comes_once_whatever_the_clock_says() {
        let mut alarm = entry(AlarmText { at: Some("2027-01-15T09:00:00Z".to_owned()), ..text() });
        let at = alarm.next.expect("it lies ahead").0;
        assert!(!fires(&mut alarm, NOW.0 - DAY), "set back before it came");
        assert!(fires(&mut alarm, at + DAY), "leapt over");
        assert!(!fires(&mut alarm, at - DAY) && alarm.next.is_none());
        assert!(!fires(&mut alarm, at + 2 * DAY), "passed again");
    }
}
