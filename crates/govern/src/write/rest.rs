//! `rest until`, stops, hold-down.

use super::{Draft, check_length};
use crate::limits::{REASON_BYTES_MAX, REST_MAX};
use crate::refused::WriteRefused;
use crate::rights::Action;
use crate::selfhood::{Mute, RestPhase, RestUntil};
use model::state::HoldDown;
use model::{Depth, Event, UnixMs};
use policy::{Effect, Phase};

/// The machine's own word: it rests, and this wakes it. As with every stop, what wants it up at this
/// moment is silenced.
pub(super) fn put(
    draft: &mut Draft<'_>,
    mode: Depth,
    until: Option<&str>,
    at: Option<UnixMs>,
    note: &str,
) -> Result<(), WriteRefused> {
    Action::Rest.check(draft.writer)?;
    check_length("the note", note, REASON_BYTES_MAX)?;
    let now = draft.now();
    if until.is_none() && at.is_none() {
        return Err(WriteRefused::RestForEver);
    }
    if let Some(text) = until {
        draft.ground.policy.compile_rest_until(text).map_err(|error| {
            let excerpt = error.excerpt(text);
            WriteRefused::Condition { error, excerpt }
        })?;
    }
    if at.is_some_and(|at| at <= now) {
        return Err(WriteRefused::Time { what: "`at` lies in the past" });
    }
    if at.is_some_and(|at| at.since(now) > REST_MAX) {
        return Err(WriteRefused::Time { what: "`at` is more than 366 days away" });
    }
    let rest = RestUntil {
        mode,
        until: until.map(str::to_owned),
        at,
        note: note.to_owned(),
        rev: draft.rev(),
        phase: RestPhase::Asked { since: now, up: draft.next.ups },
    };
    let line = match (until, at) {
        (Some(until), _) => format!("rest until {until}"),
        (None, _) => "rest until a moment".to_owned(),
    };
    draft.next.rest = Some(rest);
    draft.changed(&line);
    mute(draft);
    Ok(())
}

pub(super) fn clear(draft: &mut Draft<'_>) -> Result<(), WriteRefused> {
    Action::ClearRest.check(draft.writer)?;
    if draft.next.rest.take().is_some() {
        draft.changed("rest until taken back");
        draft.is_wake_relevant = true;
    }
    Ok(())
}

/// A stop was admitted.
pub(super) fn stop(draft: &mut Draft<'_>) -> Result<(), WriteRefused> {
    Action::Stop.check(draft.writer)?;
    draft.changed("stop");
    mute(draft);
    Ok(())
}

/// Silences what wants the machine up now.
fn mute(draft: &mut Draft<'_>) {
    let mute = Mute { rev: draft.rev(), at: draft.now() };
    let wakes = draft.ground.policy.rules().iter().filter(|rule| rule.effect == Effect::Wake);
    for rule in wakes {
        let phase = draft.next.rules.get(&*rule.id).map(|state| state.phase);
        if matches!(phase, Some(Phase::Up { .. } | Phase::Falling { .. })) {
            draft.next.mutes.rules.insert(rule.id.to_string(), mute);
        }
    }
    let due: Vec<String> = draft.next.due().map(str::to_owned).collect();
    draft.next.mutes.alarms.extend(due.into_iter().map(|name| (name, mute)));
    draft.next.mutes.messages_through = draft.next.inbox.next_seq - 1;
    draft.is_wake_relevant = true;
}

pub(super) fn hold_down(
    draft: &mut Draft<'_>,
    hold: Option<&HoldDown>,
) -> Result<(), WriteRefused> {
    Action::HoldDown.check(draft.writer)?;
    if let Some(hold) = hold {
        check_length("the reason", &hold.reason, REASON_BYTES_MAX)?;
        if hold.until.is_some_and(|until| until <= draft.now()) {
            return Err(WriteRefused::Time { what: "`until` lies in the past" });
        }
        draft.changed(&format!("held down: {}", hold.reason));
    } else {
        draft.changed("no longer held down");
    }
    draft.event = Some(Event::HoldDown { hold: hold.cloned() });
    draft.is_wake_relevant = true;
    Ok(())
}
