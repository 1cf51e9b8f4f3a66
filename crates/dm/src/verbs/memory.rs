//! Facts and intent.

use crate::errand::Errand;
use crate::failure::Failure;
use crate::http::{Call, encoded};
use crate::show::Show;
use crate::words::Words;
use serde_json::{Map, Value, json};

/// `dm get [KEY]`
pub(super) fn get(words: &mut Words) -> Result<Errand, Failure> {
    Ok(match words.next() {
        Some(key) => {
            let path = format!("/v1/self/memory/{}", encoded(&key));
            Errand::new(Call::new("GET", path), Show::Fact)
        }
        None => Errand::new(Call::new("GET", "/v1/self/memory"), Show::Facts),
    })
}

/// `dm set KEY=VALUE…`
pub(super) fn set(words: &mut Words) -> Result<Errand, Failure> {
    let if_match = words.number("if-revision")?;
    let mut facts = vec![words.need("`KEY=VALUE`")?];
    facts.append(&mut words.rest());
    let call = Call::new("PATCH", "/v1/self/memory").with(patch(words, facts)?);
    Ok(Errand::new(on_revision(call, if_match), Show::Nothing))
}

/// `dm unset KEY…`
pub(super) fn unset(words: &mut Words) -> Result<Errand, Failure> {
    let if_match = words.number("if-revision")?;
    let mut keys = vec![words.need("`KEY`")?];
    keys.append(&mut words.rest());
    let body: Map<_, _> = keys.into_iter().map(|key| (key, Value::Null)).collect();
    let call = Call::new("PATCH", "/v1/self/memory").with(Value::Object(body));
    Ok(Errand::new(on_revision(call, if_match), Show::Nothing))
}

/// Repeated, a call on a revision would be refused for what its first time has done.
fn on_revision(call: Call, if_match: Option<u64>) -> Call {
    Call { may_repeat: if_match.is_none(), if_match, ..call }
}

/// A merge patch of `KEY=VALUE` words. A value is JSON, or else a text.
pub(super) fn patch(words: &Words, facts: Vec<String>) -> Result<Value, Failure> {
    let mut body = Map::new();
    for fact in facts {
        let pair = fact.split_once('=').filter(|(key, _)| !key.is_empty());
        let (key, value) =
            pair.ok_or_else(|| words.wrong(format!("`{fact}` is not `KEY=VALUE`")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_text| json!(value));
        if value.is_null() {
            return Err(words.wrong(format!("`{key}` cannot be null; `dm unset {key}` removes it")));
        }
        body.insert(key.to_owned(), value);
    }
    Ok(Value::Object(body))
}

/// `dm phase TEXT`
pub(super) fn phase(words: &mut Words) -> Result<Errand, Failure> {
    let phase = words.need("`TEXT`")?;
    Ok(intent(json!({ "phase": phase })))
}

/// `dm done`
pub(super) fn done(words: &mut Words) -> Errand {
    intent(json!({ "done": !words.flag("no") }))
}

fn intent(change: Value) -> Errand {
    Errand::new(Call::new("PATCH", "/v1/self/intent").with(change), Show::Nothing)
}
