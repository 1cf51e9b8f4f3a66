//! Holds, alarms, beats.

use crate::errand::Errand;
use crate::failure::Failure;
use crate::http::{Call, encoded};
use crate::show::Show;
use crate::when;
use crate::words::Words;
use serde_json::{Map, Value, json};

/// Path of a hold or alarm.
pub(super) fn named(what: &str, name: &str) -> String {
    format!("/v1/self/{what}/{}", encoded(name))
}

/// `dm hold [NAME --for SPAN]`
pub(super) fn hold(words: &mut Words) -> Result<Errand, Failure> {
    let Some(name) = words.next() else {
        return Ok(Errand::new(Call::new("GET", "/v1/self/holds"), Show::Holds));
    };
    let Some(ttl) = words.span("for")? else {
        return Err(words.wrong("`hold` needs `--for SPAN`: every hold ends"));
    };
    let mut body = Map::new();
    body.insert("ttl".to_owned(), json!(ttl.as_secs()));
    body.extend(words.option("reason").map(|reason| ("reason".to_owned(), json!(reason))));
    let call = Call::new("PUT", named("holds", &name)).with(Value::Object(body));
    Ok(Errand::new(call, Show::Nothing))
}

/// `dm release NAME`
pub(super) fn release(words: &mut Words) -> Result<Errand, Failure> {
    let name = words.need("`NAME`")?;
    Ok(Errand::new(Call::new("DELETE", named("holds", &name)).once(), Show::Nothing))
}

/// `dm alarm [NAME (--at|--every|--cron)]`
pub(super) fn alarm(words: &mut Words) -> Result<Errand, Failure> {
    let Some(name) = words.next() else {
        return Ok(Errand::new(Call::new("GET", "/v1/self/alarms"), Show::Alarms));
    };
    let mut body = Map::new();
    body.extend(words.moment("at")?.map(|at| ("at".to_owned(), json!(at))));
    body.extend(words.span("every")?.map(|span| ("every".to_owned(), json!(span.as_secs()))));
    body.extend(words.option("cron").map(|cron| ("cron".to_owned(), json!(cron))));
    if body.len() != 1 {
        let message = "an alarm needs one of `--at`, `--every`, `--cron`";
        return Err(Failure::usage(message, when::MOMENT_FORMS));
    }
    for option in ["tz", "missed"] {
        body.extend(words.option(option).map(|value| (option.to_owned(), json!(value))));
    }
    let call = Call::new("PUT", named("alarms", &name)).with(Value::Object(body));
    Ok(Errand::new(call, Show::Nothing))
}

/// `dm unalarm NAME`
pub(super) fn unalarm(words: &mut Words) -> Result<Errand, Failure> {
    let name = words.need("`NAME`")?;
    Ok(Errand::new(Call::new("DELETE", named("alarms", &name)).once(), Show::Nothing))
}

/// `dm beat`
pub(super) fn beat() -> Errand {
    Errand::new(Call::new("POST", "/v1/self/beat"), Show::Nothing)
}
