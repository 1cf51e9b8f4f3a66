//! Rests, stops, notices, reasons.

use crate::errand::Errand;
use crate::failure::Failure;
use crate::http::Call;
use crate::show::Show;
use crate::when;
use crate::words::Words;
use serde_json::{Map, Value, json};

/// `dm sleep`
pub(super) fn sleep(words: &mut Words) -> Result<Errand, Failure> {
    let mut body = Map::new();
    for option in ["until", "mode", "note"] {
        body.extend(words.option(option).map(|value| (option.to_owned(), json!(value))));
    }
    body.extend(words.moment("at")?.map(|at| ("at".to_owned(), json!(at))));
    if !body.contains_key("until") && !body.contains_key("at") {
        let hint =
            format!("`dm stop` rests until somebody starts the machine; {}", when::MOMENT_FORMS);
        return Err(Failure::usage("`sleep` needs `--until CONDITION` or `--at WHEN`", hint));
    }
    let call = Call::new("POST", "/v1/self/rest").with(Value::Object(body));
    Ok(Errand::new(call, Show::Nothing))
}

/// `dm stop`
pub(super) fn stop() -> Errand {
    Errand::new(Call::new("POST", "/v1/self/stop").once(), Show::Nothing)
}

/// `dm suspend`
pub(super) fn suspend() -> Errand {
    Errand::new(Call::new("POST", "/v1/self/suspend").once(), Show::Nothing)
}

/// `dm why`
pub(super) fn why() -> Errand {
    let explain = ("explain", Call::new("GET", "/v1/self/explain"));
    Errand::several([explain, ("wake", Call::new("GET", "/v1/self/wake"))], Show::Why)
}

/// `dm wait-notice`
pub(super) fn wait_notice(words: &mut Words) -> Result<Errand, Failure> {
    Ok(Errand::notice(words.span("wait")?))
}

/// `dm notices`
pub(super) const fn notices() -> Errand {
    Errand::notices()
}

/// `dm policy`
pub(super) fn policy() -> Errand {
    Errand::new(Call::new("GET", "/v1/self/policy"), Show::Policy)
}
