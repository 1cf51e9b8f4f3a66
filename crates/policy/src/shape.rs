//! What holds of a document besides its conditions: counts, names, schemas, fields that fit.

use crate::document::{Document, Effect, FactSchema, RuleText};
use crate::fact_type::FactType;
use crate::finding::Finding;
use crate::limits::{
    ALARMS_MAX, ENUM_MAX, FACTS_MAX, NAME_BYTES_MAX, NOTE_BYTES_MAX, PEERS_MAX, RULES_MAX,
    TRANSITIONS_MAX, VALUE_BYTES_MAX, VALUE_DEPTH_MAX, WRITERS_MAX,
};
use crate::value::Value;
use serde_json::Value as Json;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Everything that is wrong with the document, apart from its conditions and alarms.
pub(crate) fn check(document: &Document) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    found.count("rules", document.rules.len(), RULES_MAX);
    found.count("facts", document.facts.len(), FACTS_MAX);
    found.count("alarms", document.alarms.len(), ALARMS_MAX);
    found.count("peers", document.peers.len(), PEERS_MAX);
    found.note("note", document.note.as_deref());
    for (key, schema) in &document.facts {
        found.fact(key, schema);
    }
    for name in document.alarms.keys() {
        found.name(&format!("alarms.{name}"), name);
    }
    for (name, peer) in &document.peers {
        found.name(&format!("peers.{name}"), name);
        found.count(&format!("peers.{name}.facts"), peer.facts.len(), FACTS_MAX);
        found.note(&format!("peers.{name}.machine"), peer.machine.as_deref());
    }
    let mut ids = BTreeSet::new();
    for (at, rule) in document.rules.iter().enumerate() {
        found.rule(at, rule, ids.insert(rule.id.as_str()));
    }
    found.0
}

/// Whether it can be the key of a fact: names joined by points.
pub(crate) fn is_key(key: &str) -> bool {
    key.len() <= NAME_BYTES_MAX && key.split('.').all(is_name)
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

const NAME_HINT: &str = "1 to 64 letters, digits, `_` or `-`";

struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding::error(path, message));
    }

    fn count(&mut self, path: &str, n: usize, max: usize) {
        if n > max {
            self.error(path, format!("{n} are more than {max}"));
        }
    }

    fn name(&mut self, path: &str, name: &str) {
        if !is_name(name) {
            self.0.push(Finding::error(path, "this is no name").hint(NAME_HINT));
        }
    }

    fn note(&mut self, path: &str, text: Option<&str>) {
        self.count(path, text.map_or(0, str::len), NOTE_BYTES_MAX);
    }

    fn rule(&mut self, at: usize, rule: &RuleText, is_first: bool) {
        let path = |field: &str| format!("rules[{at}].{field}");
        self.name(&path("id"), &rule.id);
        if !is_first {
            self.error(path("id"), format!("there is another rule `{}`", rule.id));
        }
        self.note(&path("note"), rule.note.as_deref());
        self.note(&path("to"), rule.to.as_deref());
        if rule.mode.is_some() && rule.effect != Effect::Rest {
            self.error(path("mode"), format!("a `{}` rule has no depth", rule.effect));
        }
        if rule.to.is_some() && rule.effect != Effect::Notify {
            self.error(path("to"), format!("a `{}` rule tells nobody", rule.effect));
        }
    }

    fn fact(&mut self, key: &str, schema: &FactSchema) {
        let at = format!("facts.{key}");
        if !is_key(key) {
            let finding = Finding::error(at.as_str(), "this is no key of a fact");
            self.0.push(finding.hint(format!("{NAME_HINT}, in parts joined by points")));
        }
        if key == "scratch" || key.starts_with("scratch.") {
            self.error(at.as_str(), "`scratch.*` is for facts that are not declared");
        }
        self.bounds(&at, schema);
        self.secrecy(&at, schema);
        let allowed = schema.one_of.as_deref().unwrap_or_default();
        self.count(&format!("{at}.enum"), allowed.len(), ENUM_MAX);
        for (i, value) in allowed.iter().enumerate() {
            self.value(&format!("{at}.enum[{i}]"), schema, value);
        }
        if let Some(default) = &schema.default {
            self.value(&format!("{at}.default"), schema, default);
        }
        self.count(
            &format!("{at}.writers"),
            schema.writers.as_ref().map_or(0, Vec::len),
            WRITERS_MAX,
        );
        self.transitions(&at, schema);
    }

    /// A policy is shown to everybody who may read it, so no value of a secret stands in it.
    fn secrecy(&mut self, at: &str, schema: &FactSchema) {
        let shown = [("default", schema.default.is_some()), ("enum", schema.one_of.is_some())];
        for (field, _) in shown.into_iter().filter(|(_, is_there)| schema.secret && *is_there) {
            let finding = Finding::error(
                format!("{at}.{field}"),
                format!("a secret has no `{field}`: the policy would show its values"),
            );
            self.0.push(finding.hint("write the value instead, or let the fact be no secret"));
        }
    }

    fn bounds(&mut self, at: &str, schema: &FactSchema) {
        let bounds = [("min", &schema.min), ("max", &schema.max)];
        for (field, bound) in bounds.iter().filter_map(|(f, b)| Some((f, b.as_ref()?))) {
            let path = format!("{at}.{field}");
            if !has_bounds(schema.ty) {
                self.error(path, format!("a {} has no bounds", schema.ty));
            } else if schema.ty.read(bound).is_none() {
                self.error(path, wrong_type(schema.ty));
            }
        }
        let read = |bound: &Option<Json>| schema.ty.read(bound.as_ref()?);
        let is_empty = |min: Value, max| min.order(&max) == Some(Ordering::Greater);
        if read(&schema.min).zip(read(&schema.max)).is_some_and(|(min, max)| is_empty(min, max)) {
            self.error(format!("{at}.min"), "the smallest value is above the largest");
        }
    }

    fn transitions(&mut self, at: &str, schema: &FactSchema) {
        let transitions = schema.transitions.as_deref().unwrap_or_default();
        self.count(&format!("{at}.transitions"), transitions.len(), TRANSITIONS_MAX);
        for (i, transition) in transitions.iter().enumerate() {
            let path = |field: &str| format!("{at}.transitions[{i}].{field}");
            for (field, value) in [("from", &transition.from), ("to", &transition.to)] {
                if !value.is_null() {
                    self.value(&path(field), schema, value);
                }
            }
            self.count(&path("by"), transition.by.as_ref().map_or(0, Vec::len), WRITERS_MAX);
        }
    }

    /// A value that the fact is to have.
    fn value(&mut self, path: &str, schema: &FactSchema, json: &Json) {
        if let Some(wrong) = wrong_value(schema, json) {
            self.error(path, wrong.to_string());
        }
    }
}

/// Why a fact cannot have a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WrongValue {
    #[error("its JSON has more than {VALUE_BYTES_MAX} bytes")]
    TooLong,
    #[error("its JSON has more than {VALUE_DEPTH_MAX} arrays and objects inside each other")]
    TooDeep,
    #[error("{}", wrong_type(*.0))]
    Type(FactType),
    #[error("it is not one of {0}")]
    NotOneOf(String),
    #[error("it is below the smallest value, {0}")]
    BelowMin(String),
    #[error("it is above the largest value, {0}")]
    AboveMax(String),
}

fn wrong_type(ty: FactType) -> String {
    format!("a {ty} is {}", ty.spelling())
}

const fn has_bounds(ty: FactType) -> bool {
    matches!(ty, FactType::Int | FactType::Double | FactType::Timestamp | FactType::Duration)
}

/// What no fact can have, whatever its schema: too long a value, or too deep a one.
pub(crate) fn wrong_size(json: &Json) -> Option<WrongValue> {
    if !is_within(json, VALUE_DEPTH_MAX) {
        return Some(WrongValue::TooDeep);
    }
    (json.to_string().len() > VALUE_BYTES_MAX).then_some(WrongValue::TooLong)
}

/// Whether at most `levels` arrays and objects are inside each other. Goes no deeper than that.
fn is_within(json: &Json, levels: usize) -> bool {
    let inside = |item: &Json| is_within(item, levels.saturating_sub(1));
    match json {
        Json::Array(items) => levels > 0 && items.iter().all(inside),
        Json::Object(fields) => levels > 0 && fields.values().all(inside),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    }
}

/// Checks a value against type, `enum`, `min` and `max`.
pub(crate) fn wrong_value(schema: &FactSchema, json: &Json) -> Option<WrongValue> {
    if let Some(wrong) = wrong_size(json) {
        return Some(wrong);
    }
    let value = schema.ty.read(json);
    if value.is_none() && schema.ty != FactType::Json {
        return Some(WrongValue::Type(schema.ty));
    }
    let allowed = schema.one_of.as_deref();
    if let Some(allowed) = allowed.filter(|a| !a.iter().any(|one| is_same(schema.ty, one, json))) {
        let words: Vec<_> = allowed.iter().map(|one| format!("`{one}`")).collect();
        return Some(WrongValue::NotOneOf(words.join(", ")));
    }
    let beyond = |bound: &Option<Json>, wrong: Ordering| {
        let limit = schema.ty.read(bound.as_ref()?)?;
        let is_beyond = value.as_ref()?.order(&limit) == Some(wrong);
        is_beyond.then(|| limit.to_string())
    };
    beyond(&schema.min, Ordering::Less)
        .map(WrongValue::BelowMin)
        .or_else(|| beyond(&schema.max, Ordering::Greater).map(WrongValue::AboveMax))
}

/// Whether two JSON values of a fact's type mean the same: `60` and `60.0`, `"60s"` and `"1m"`.
pub(crate) fn is_same(ty: FactType, a: &Json, b: &Json) -> bool {
    let read = |json| ty.read(json);
    match (read(a), read(b)) {
        (Some(a), Some(b)) => Value::equals(&a, &b) == Some(true),
        _ => a == b,
    }
}
