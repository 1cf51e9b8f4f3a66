//! Facts and intent.

use super::on::{Pen, record, shown};
use super::text::RawBody;
use super::{poll, show};
use crate::contract::selfhood::{
    FactReply, IntentChange, IntentReply, MemoryPatch, POLL_MAX_S, Written,
};
use crate::problem::Problem;
use crate::v1::Answer;
use crate::v1::body::JsonBody;
use crate::v1::extract::{Key, Read};
use crate::v1::query::Params;
use axum::extract::State;
use axum::http::StatusCode;
use control::Control;
use govern::Write;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How often a fact that is an object is replaced anew because somebody else wrote meanwhile.
const REPLACE_TRIES: usize = 8;

/// `GET self/memory?wait_revision=&timeout=`.
pub(super) async fn show(State(control): State<Control>, Read(on): Read, params: Params) -> Answer {
    if let Some(seen) = params.number("wait_revision")? {
        let timeout = poll::timeout(&params, POLL_MAX_S)?;
        let waited = control.self_wait(&on.record.id, seen, timeout).await;
        waited.map_err(|e| Problem::from_control(&e, Some(&on.record.id)))?;
    }
    let memory = show::memory(&record(&control, &on)?, model::clock::now());
    shown(memory.revision, &memory)
}

/// `PATCH self/memory`: a merge patch, all of it or nothing.
pub(super) async fn change(State(control): State<Control>, pen: Pen, body: JsonBody) -> Answer {
    let patch: MemoryPatch = body.to()?;
    pen.written(&control, Write::Memory { patch, if_match: None }).await
}

/// `GET self/memory/{key}`.
pub(super) async fn one(State(control): State<Control>, Read(on): Read, Key(key): Key) -> Answer {
    let mut memory = show::memory(&record(&control, &on)?, model::clock::now());
    let revision = memory.revision;
    match memory.facts.remove(&key) {
        Some(fact) => shown(revision, &FactReply { revision, key, fact }),
        None => Err(no_fact(&key)),
    }
}

fn no_fact(key: &str) -> Problem {
    let text = format!("not_found: there is no fact `{key}`");
    Problem::new(StatusCode::NOT_FOUND, "self_missing", text)
        .hint("`GET …/self/memory` lists the facts that count; one may have expired")
}

/// `PUT self/memory/{key}`: `{"value": …}`, the value alone, or plain text.
pub(super) async fn put(
    State(control): State<Control>,
    pen: Pen,
    Key(key): Key,
    body: RawBody,
) -> Answer {
    let value = unwrapped(body.into_value()?);
    if value.is_null() {
        return Err(Problem::invalid("null_fact", "a fact cannot be null")
            .hint("`DELETE …/self/memory/{key}` removes it"));
    }
    for _ in 1..REPLACE_TRIES {
        match pen.write(&control, replacement(&control, &pen, &key, &value)?).await {
            Err(problem) if is_overtaken(&problem) && pen.if_match.is_none() => {}
            written => {
                let revision = written?.revision;
                return shown(revision, &Written { revision });
            }
        }
    }
    pen.written(&control, replacement(&control, &pen, &key, &value)?).await
}

fn is_overtaken(problem: &Problem) -> bool {
    problem.body.code == "self_revision"
}

/// `{"value": X}` is X.
fn unwrapped(value: Value) -> Value {
    match value {
        Value::Object(mut fields) if fields.len() == 1 => match fields.remove("value") {
            Some(value) => value,
            None => Value::Object(fields),
        },
        other => other,
    }
}

/// The patch that makes the fact `value`. Objects are merged by patches, so what an old one has and
/// the new one has not must be named, and only holds at the revision where it was seen.
fn replacement(control: &Control, pen: &Pen, key: &str, value: &Value) -> Result<Write, Problem> {
    let mut change = value.clone();
    let mut if_match = None;
    if let Value::Object(fields) = &mut change {
        let now = record(control, &pen.on)?;
        if let Some(Value::Object(old)) = now.selfhood.facts.get(key).map(|fact| &fact.value) {
            without_others(fields, old);
            if_match = Some(now.selfhood.revision);
        }
    }
    Ok(Write::Memory { patch: BTreeMap::from([(key.to_owned(), change)]), if_match })
}

/// Adds `null` for each field that `old` has and `new` has not.
fn without_others(new: &mut Map<String, Value>, old: &Map<String, Value>) {
    for (name, was) in old {
        match (new.get_mut(name), was) {
            (None, _) => {
                new.insert(name.clone(), Value::Null);
            }
            (Some(Value::Object(fields)), Value::Object(was)) => without_others(fields, was),
            (Some(_), _) => {}
        }
    }
}

/// `DELETE self/memory/{key}`.
pub(super) async fn remove(State(control): State<Control>, pen: Pen, Key(key): Key) -> Answer {
    let patch = BTreeMap::from([(key, Value::Null)]);
    pen.written(&control, Write::Memory { patch, if_match: None }).await
}

/// `GET self/intent`.
pub(super) async fn intent(State(control): State<Control>, Read(on): Read) -> Answer {
    let selfhood = record(&control, &on)?.selfhood;
    let revision = selfhood.revision;
    shown(revision, &IntentReply { revision, intent: show::intent(&selfhood.intent) })
}

/// `PATCH self/intent`.
pub(super) async fn change_intent(
    State(control): State<Control>,
    pen: Pen,
    body: JsonBody,
) -> Answer {
    let IntentChange { objective, phase, done } = body.to()?;
    pen.written(&control, Write::Intent { objective, phase, done }).await
}

#[cfg(test)]
mod tests {
    use super::{Value, unwrapped, without_others};
    use serde_json::json;

    #[test]
    fn a_value_may_be_wrapped() {
        assert_eq!(unwrapped(json!({"value": {"value": 1}})), json!({"value": 1}));
        assert_eq!(unwrapped(json!({"value": 1, "x": 2})), json!({"value": 1, "x": 2}));
        assert_eq!(unwrapped(json!({"x": 2})), json!({"x": 2}));
        assert_eq!(unwrapped(json!([1])), json!([1]));
    }

    #[test]
    fn a_replacement_names_what_goes() {
        let old = json!({"a": {"x": 1, "y": 2}, "b": 1, "c": {"z": 1}});
        let mut new = json!({"a": {"x": 3}, "c": 5});
        let (Value::Object(new_fields), Value::Object(old)) = (&mut new, &old) else {
            unreachable!("objects")
        };
        without_others(new_fields, old);
        assert_eq!(new, json!({"a": {"x": 3, "y": null}, "b": null, "c": 5}));
    }
}
