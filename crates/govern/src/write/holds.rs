//! Holds and alarms.

use super::{Draft, check_length, check_name};
use crate::limits::{ALARMS_MAX, HOLD_MAX, HOLDS_MAX, REASON_BYTES_MAX};
use crate::refused::WriteRefused;
use crate::rights::Action;
use crate::selfhood::{AlarmEntry, AlarmOrigin, Hold};
use model::DurationMs;
use policy::Alarm;
use policy::document::AlarmText;

pub(super) fn put(
    draft: &mut Draft<'_>,
    name: &str,
    lasts: DurationMs,
    reason: &str,
) -> Result<(), WriteRefused> {
    Action::Hold.check(draft.writer)?;
    check_name("a hold", name)?;
    check_length("the reason", reason, REASON_BYTES_MAX)?;
    if lasts > HOLD_MAX || lasts == DurationMs(0) {
        return Err(WriteRefused::Time { what: "a hold lasts at most 1 h, and may be renewed" });
    }
    let now = draft.now();
    let is_new = !draft.next.holds.contains_key(name);
    let n_live = draft.next.holds.values().filter(|hold| now < hold.expires_at).count();
    if is_new && n_live >= HOLDS_MAX {
        return Err(WriteRefused::Full { what: "holds", max: HOLDS_MAX });
    }
    draft.next.end_holds(now);
    let hold = Hold {
        expires_at: now.plus(lasts),
        reason: reason.to_owned(),
        writer: draft.writer.clone(),
        at: now,
    };
    draft.next.holds.insert(name.to_owned(), hold);
    draft.changed(&format!("hold `{name}` for {} s: {reason}", lasts.0.div_ceil(1000)));
    draft.is_wake_relevant = true;
    Ok(())
}

pub(super) fn remove(draft: &mut Draft<'_>, name: &str) -> Result<(), WriteRefused> {
    Action::Hold.check(draft.writer)?;
    if draft.next.holds.remove(name).is_none() {
        return Err(WriteRefused::Missing { what: "hold", name: name.to_owned() });
    }
    draft.changed(&format!("hold `{name}` removed"));
    draft.is_wake_relevant = true;
    Ok(())
}

pub(super) fn set_alarm(
    draft: &mut Draft<'_>,
    name: &str,
    text: &AlarmText,
) -> Result<(), WriteRefused> {
    Action::Alarm.check(draft.writer)?;
    check_name("an alarm", name)?;
    let old = draft.next.alarms.get(name);
    if old.is_some_and(|old| old.origin == AlarmOrigin::Policy) {
        return Err(WriteRefused::AlarmOfPolicy { name: name.to_owned() });
    }
    if old.is_none() && draft.next.alarms.len() >= ALARMS_MAX {
        return Err(WriteRefused::Full { what: "alarms", max: ALARMS_MAX });
    }
    let alarm = Alarm::compile(text).map_err(WriteRefused::Alarm)?;
    let now = draft.now();
    let origin = AlarmOrigin::Writer(draft.writer.clone());
    let entry = AlarmEntry::new(text.clone(), origin, &alarm, now);
    let Some(next) = entry.next else {
        return Err(WriteRefused::Time { what: "the alarm lies in the past" });
    };
    draft.next.alarms.insert(name.to_owned(), entry);
    draft.next.mutes.alarms.remove(name);
    draft.changed(&format!("alarm `{name}` set, next at {}", next.0));
    draft.is_wake_relevant = true;
    Ok(())
}

pub(super) fn drop_alarm(draft: &mut Draft<'_>, name: &str) -> Result<(), WriteRefused> {
    Action::Alarm.check(draft.writer)?;
    match draft.next.alarms.get(name).map(|alarm| &alarm.origin) {
        None => Err(missing(name)),
        Some(AlarmOrigin::Policy) => Err(WriteRefused::AlarmOfPolicy { name: name.to_owned() }),
        Some(AlarmOrigin::Writer(_)) => {
            draft.next.alarms.remove(name);
            draft.changed(&format!("alarm `{name}` removed"));
            draft.is_wake_relevant = true;
            Ok(())
        }
    }
}

pub(super) fn ack_alarm(draft: &mut Draft<'_>, name: &str) -> Result<(), WriteRefused> {
    Action::AckAlarm.check(draft.writer)?;
    let now = draft.now();
    let alarm = draft.next.alarms.get_mut(name).ok_or_else(|| missing(name))?;
    if alarm.due.is_none() {
        return Ok(());
    }
    alarm.ack(now);
    if alarm.is_over() {
        draft.next.alarms.remove(name);
    }
    super::report::progress(&mut draft.next);
    draft.changed(&format!("alarm `{name}` acknowledged"));
    draft.is_wake_relevant = true;
    Ok(())
}

fn missing(name: &str) -> WriteRefused {
    WriteRefused::Missing { what: "alarm", name: name.to_owned() }
}
