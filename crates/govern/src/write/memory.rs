//! Facts and intent.

use super::{Draft, check_length};
use crate::limits::INTENT_BYTES_MAX;
use crate::refused::WriteRefused;
use crate::rights::Action;
use crate::selfhood::Fact;
use crate::values::SelfValues;
use policy::write::fact_bytes;
use policy::{MemorySize, Name, Platform, Writer, check_write};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A merge patch over the facts. Each key is checked against the memory as the keys before it left
/// it, in their order, so that the limits hold for the whole.
pub(super) fn patch(
    draft: &mut Draft<'_>,
    patch: &BTreeMap<String, Json>,
    if_match: Option<u64>,
) -> Result<(), WriteRefused> {
    Action::Memory.check(draft.writer)?;
    draft.expect_revision(if_match)?;
    for (key, change) in patch {
        write_fact(draft, key, change)?;
    }
    if draft.writer == &Writer::Machine && !draft.changes.is_empty() {
        super::report::progress(&mut draft.next);
    }
    Ok(())
}

fn write_fact(draft: &mut Draft<'_>, key: &str, change: &Json) -> Result<(), WriteRefused> {
    let now = draft.now();
    let stored = draft.next.facts.get(key);
    let old = stored.filter(|fact| !fact.is_expired(now)).map(|fact| fact.value.clone());
    let new = match change {
        Json::Null => None,
        _ => Some(merged(old.as_ref(), change)),
    };
    if new.is_none() && stored.is_none() {
        return Ok(());
    }
    let write = policy::Write {
        key,
        old: old.as_ref(),
        new: new.as_ref(),
        writer: draft.writer,
        others: size_without(&draft.next.facts, key),
    };
    let values = SelfValues { selfhood: &draft.next, policy: draft.ground.policy, now };
    let accepted = check_write(draft.ground.policy, &write, &values, now)?;
    let is_same = accepted.value == old && accepted.expires_at.is_none();
    if is_same && stored.is_some() {
        return Ok(());
    }
    let rev = draft.rev();
    let facts = Arc::make_mut(&mut draft.next.facts);
    let line = match accepted.value {
        None => {
            facts.remove(key);
            format!("memory.{key} deleted")
        }
        Some(value) => {
            let line = match accepted.is_secret {
                true => format!("memory.{key} = (secret)"),
                false => format!("memory.{key} = {value}"),
            };
            let fact = Fact {
                value,
                writer: draft.writer.clone(),
                rev,
                at: now,
                expires_at: accepted.expires_at,
                secret: accepted.is_secret,
            };
            facts.insert(key.to_owned(), fact);
            line
        }
    };
    draft.changed(&line);
    draft.touched(|name| matches!(name, Name::Memory(read) if **read == *key));
    Ok(())
}

/// RFC 7386: objects are merged, everything else replaces. The depth is that of the patch, which the
/// reader of JSON has bounded.
fn merged(old: Option<&Json>, change: &Json) -> Json {
    let Json::Object(change) = change else { return change.clone() };
    let mut out = old.and_then(Json::as_object).cloned().unwrap_or_default();
    for (key, value) in change {
        if value.is_null() {
            out.remove(key);
        } else {
            let value = merged(out.get(key), value);
            out.insert(key.clone(), value);
        }
    }
    Json::Object(out)
}

fn size_without(facts: &BTreeMap<String, Fact>, key: &str) -> MemorySize {
    let others = facts.iter().filter(|(other, _)| *other != key);
    others.fold(MemorySize::default(), |size, (key, fact)| MemorySize {
        keys: size.keys + 1,
        bytes: size.bytes + fact_bytes(key, &fact.value),
    })
}

pub(super) fn intent(
    draft: &mut Draft<'_>,
    objective: Option<&str>,
    phase: Option<&str>,
    done: Option<bool>,
) -> Result<(), WriteRefused> {
    if objective.is_some() {
        Action::Objective.check(draft.writer)?;
    }
    if phase.is_some() || done.is_some() || objective.is_none() {
        Action::Phase.check(draft.writer)?;
    }
    let mut intent = draft.next.intent.clone();
    if let Some(objective) = objective.filter(|text| *text != intent.objective) {
        intent.objective = objective.to_owned();
        draft.changed(&format!("intent.objective = '{objective}'"));
        draft.touched(|name| *name == Name::Platform(Platform::Objective));
    }
    if let Some(phase) = phase.filter(|text| *text != intent.phase) {
        intent.phase = phase.to_owned();
        draft.changed(&format!("intent.phase = '{phase}'"));
        draft.touched(|name| *name == Name::Platform(Platform::Phase));
    }
    if let Some(done) = done.filter(|done| *done != intent.done) {
        intent.done = done;
        draft.changed(&format!("intent.done = {done}"));
        draft.touched(|name| *name == Name::Platform(Platform::Done));
    }
    let both = format!("{}{}", intent.objective, intent.phase);
    check_length("the intent", &both, INTENT_BYTES_MAX)?;
    if !draft.changes.is_empty() {
        intent.rev = draft.rev();
        draft.next.intent = intent;
        if draft.writer == &Writer::Machine {
            super::report::progress(&mut draft.next);
        }
    }
    Ok(())
}
