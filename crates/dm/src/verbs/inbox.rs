//! Messages.

use super::waking::named;
use crate::errand::Errand;
use crate::failure::Failure;
use crate::http::{Call, encoded};
use crate::show::Show;
use crate::words::Words;
use serde_json::{Map, Value, json};
use std::io::{self, Read as _};
use std::time::Duration;

/// Messages that a look shows: what a person reads at once.
const LOOK_MAX: u32 = 20;

/// Longest body that is read from standard input: one byte more than a message may have, for the
/// host to refuse.
const BODY_MAX_BYTES: u64 = 256 * 1024 + 1;

/// `dm inbox`
pub(super) fn inbox(words: &mut Words) -> Result<Errand, Failure> {
    let wait = words.span("wait")?;
    match words.number::<u32>("take")? {
        Some(max) => Ok(Errand::take(max, wait.unwrap_or(Duration::ZERO))),
        None if wait.is_some() => Err(words.wrong("`--wait` is for `--take`")),
        None => {
            let path = format!("/v1/self/inbox?limit={LOOK_MAX}");
            Ok(Errand::new(Call::new("GET", path), Show::Messages))
        }
    }
}

/// `dm ack SEQ…` and `dm ack --alarm NAME`
pub(super) fn ack(words: &mut Words) -> Result<Errand, Failure> {
    if let Some(alarm) = words.option("alarm") {
        let path = format!("{}/ack", named("alarms", &alarm));
        return Ok(Errand::new(Call::new("POST", path).once(), Show::Nothing));
    }
    let mut seqs = vec![words.need("`SEQ` or `--alarm NAME`")?];
    seqs.append(&mut words.rest());
    let number = |seq: &String| {
        seq.parse::<u64>().map_err(|_no_number| words.wrong(format!("`{seq}` is no number")))
    };
    let seqs = seqs.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    let call = Call::new("POST", "/v1/self/inbox/ack").with(json!({ "seqs": seqs }));
    Ok(Errand::new(call, Show::Nothing))
}

/// `dm post PEER BODY` and `dm post --self BODY`
pub(super) fn post(words: &mut Words) -> Result<Errand, Failure> {
    let path = if words.flag("self") {
        "/v1/self/inbox".to_owned()
    } else {
        format!("/v1/peers/{}/inbox", encoded(&words.need("`PEER` or `--self`, and `BODY`")?))
    };
    let mut message = Map::new();
    let id = words.option("id");
    let has_id = id.is_some();
    message.extend(id.map(|id| ("id".to_owned(), json!(id))));
    message.extend(words.number::<u8>("hops")?.map(|hops| ("hops".to_owned(), json!(hops))));
    if words.flag("wake") {
        message.insert("wake".to_owned(), json!(true));
    }
    let body = match words.need("`BODY`")? {
        word if word == "-" => standard_input()?,
        word => word,
    };
    message.insert("body".to_owned(), json!(body));
    let call = Call::new("POST", path).with(Value::Object(message));
    Ok(Errand::new(if has_id { call } else { call.once() }, Show::Seq))
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().lock().take(BODY_MAX_BYTES).read_to_string(&mut text).map_err(|error| {
        Failure::usage(format!("cannot read standard input: {error}"), "a body is UTF-8 text")
    })?;
    Ok(text)
}
