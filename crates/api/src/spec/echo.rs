//! The configuration as answers echo it: what the caller wrote, in the form that Go prints.

use crate::contract::GoDuration;
use serde::Serialize;
use serde_json::value::RawValue;
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
    if let Some(deepen) = config.get_mut("deepen") {
        print_durations(deepen, &["suspend_after", "stop_after"]);
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
    let restart = config.remove("restart");
    config.insert("restart".to_owned(), shown_restart(restart));
    if metadata.is_empty() {
        config.remove("metadata");
    } else {
        config.insert("metadata".to_owned(), json!(metadata));
    }
    Value::Object(config)
}

/// As [`echoed`], for a list of many: the stored text is passed on without a look at what it holds.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Echo<'a>(BTreeMap<String, Part<'a>>);

/// A field of a configuration.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Part<'a> {
    AsStored(&'a RawValue),
    Labels(&'a BTreeMap<String, String>),
    Made(Value),
}

impl<'a> Echo<'a> {
    /// The configuration stored as the text `stored`, with the labels as they are now.
    #[must_use]
    pub fn of(stored: &'a str, metadata: &'a BTreeMap<String, String>) -> Self {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(stored).unwrap_or_default();
        let restart = fields.get("restart").and_then(|raw| serde_json::from_str(raw.get()).ok());
        let mut parts: BTreeMap<String, Part<'_>> =
            fields.into_iter().map(|(name, raw)| (name, Part::AsStored(raw))).collect();
        for name in ["init", "dns"] {
            parts.entry(name.to_owned()).or_insert_with(|| Part::Made(json!({})));
        }
        parts.insert("restart".to_owned(), Part::Made(shown_restart(restart)));
        if metadata.is_empty() {
            parts.remove("metadata");
        } else {
            parts.insert("metadata".to_owned(), Part::Labels(metadata));
        }
        Self(parts)
    }
}

/// The restart policy with its defaults.
fn shown_restart(stored: Option<Value>) -> Value {
    let mut shown = stored.unwrap_or_else(|| json!({}));
    if let Value::Object(restart) = &mut shown {
        let is_unset = restart.get("policy").is_none_or(|p| p.is_null() || p == "");
        if is_unset {
            restart.insert("policy".to_owned(), json!("on-failure"));
            restart.entry("max_retries").or_insert(json!(10));
        }
    }
    shown
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A list shows each configuration as the machine itself does.
    #[track_caller]
    fn check(stored: &Value) {
        let none = BTreeMap::new();
        let some = BTreeMap::from([("role".to_owned(), "web \"1\"".to_owned())]);
        for metadata in [&none, &some] {
            let text = stored.to_string();
            let listed = serde_json::to_value(Echo::of(&text, metadata)).expect("JSON");
            assert_eq!(listed, echoed(stored, metadata));
        }
    }

    #[test]
    fn a_list_shows_what_the_machine_shows() {
        check(&json!({}));
        check(&json!({"image": "demo", "unknown": [1, {"x": null}], "a \"b\"": 2}));
        check(&json!({"init": {"exec": ["a"]}, "dns": {"options": []}, "metadata": {"old": "1"}}));
        check(&json!({"restart": {"policy": "always"}}));
        check(&json!({"restart": {"policy": "", "max_retries": 3}}));
        check(&json!({"restart": {"max_retries": 3}}));
        check(&json!({"restart": "nonsense"}));
    }
}
