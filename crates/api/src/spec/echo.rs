//! The configuration as answers echo it: what the caller wrote, in the form that Go prints.

use crate::contract::GoDuration;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The raw configuration in the form in which it is stored: without `null` fields, durations as
/// text. Unknown fields stay as they are.
#[must_use]
pub fn normalised(raw: &Value) -> Value {
    let mut config = raw.as_object().cloned().unwrap_or_default();
    config.retain(|_, value| !value.is_null());
    if let Some(stop) = config.get_mut("stop_config") {
        print_durations(stop, &["timeout"]);
    }
    if let Some(Value::Object(checks)) = config.get_mut("checks") {
        checks.values_mut().for_each(print_check);
    }
    for service in list(config.get_mut("services")) {
        list(service.get_mut("checks")).iter_mut().for_each(print_check);
    }
    Value::Object(config)
}

/// The stored configuration as an answer shows it: with `init`, `dns` and `restart` present, and
/// the labels as they are now.
#[must_use]
pub fn echoed(stored: &Value, metadata: &BTreeMap<String, String>) -> Value {
    let mut config = stored.as_object().cloned().unwrap_or_default();
    config.entry("init").or_insert_with(|| Value::Object(Map::new()));
    config.entry("dns").or_insert_with(|| Value::Object(Map::new()));
    let restart = config.entry("restart").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(restart) = restart {
        let is_unset = restart.get("policy").is_none_or(|p| p.is_null() || p == "");
        if is_unset {
            restart.insert("policy".to_owned(), json!("on-failure"));
            restart.entry("max_retries").or_insert(json!(10));
        }
    }
    if metadata.is_empty() {
        config.remove("metadata");
    } else {
        config.insert("metadata".to_owned(), json!(metadata));
    }
    Value::Object(config)
}

fn list(value: Option<&mut Value>) -> &mut [Value] {
    match value {
        Some(Value::Array(items)) => items,
        Some(_) | None => &mut [],
    }
}

fn print_check(check: &mut Value) {
    print_durations(check, &["interval", "timeout", "grace_period"]);
}

fn print_durations(object: &mut Value, fields: &[&str]) {
    for field in fields {
        let Some(value) = object.get_mut(field) else { continue };
        if let Ok(duration) = serde_json::from_value::<GoDuration>(value.clone()) {
            *value = json!(duration.to_string());
        }
    }
}
