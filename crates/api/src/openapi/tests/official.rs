//! That our description has everything that the official one has, for each operation that exists here;
//! and that `docs/api-compat.md` names what is missing, and nothing else.

use super::{docs, document, operations};
use serde_json::Value;
use std::collections::BTreeSet;

/// Names of operations, parameters and fields of the official description; the file says which.
const OFFICIAL: &str = include_str!("official.json");

/// Nesting of types that is looked into: none of the official ones is deeper.
const DEPTH_MAX: usize = 24;

#[test]
fn what_is_missing_is_what_the_text_says() {
    let official: Value = serde_json::from_str(OFFICIAL).expect("the fixture is JSON");
    let ours = document();
    let missing = Comparison { official: &official, ours: &ours, missing: BTreeSet::new() }.made();
    let text = std::fs::read_to_string(docs().join("api-compat.md")).expect("docs/api-compat.md");
    let told = told(&text);
    let untold = missing.iter().filter(|one| !told.iter().any(|name| is_meant(name, one)));
    let untold: Vec<_> = untold.collect();
    assert!(untold.is_empty(), "missing and not in docs/api-compat.md: {untold:#?}");
    let stale = told.iter().filter(|name| !missing.iter().any(|one| is_meant(name, one)));
    let stale: Vec<_> = stale.collect();
    assert!(stale.is_empty(), "not missing, but in docs/api-compat.md: {stale:#?}");
}

/// Whether the name in the text means this: `Volume.*` is all that begins so.
fn is_meant(name: &str, missing: &str) -> bool {
    name.strip_suffix('*').map_or(name == missing, |beginning| missing.starts_with(beginning))
}

/// The names in the first cells of the tables that say what is missing.
fn told(text: &str) -> BTreeSet<String> {
    let (_, missing) = text.split_once("\n## What is missing").expect("a part for it");
    let first_cells =
        missing.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    let names = first_cells.flat_map(|cell| cell.split('`').step_by(2));
    names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

struct Comparison<'a> {
    official: &'a Value,
    ours: &'a Value,
    missing: BTreeSet<String>,
}

impl Comparison<'_> {
    fn made(mut self) -> BTreeSet<String> {
        for operation in self.official["operations"].as_array().expect("operations") {
            self.operation(operation);
        }
        self.missing
    }

    fn operation(&mut self, official: &Value) {
        let text = |field: &str| official[field].as_str().expect("text").to_owned();
        let (id, method) = (text("id"), text("method"));
        let wanted = anonymous(&format!("/v1{}", text("path")));
        let found = operations(self.ours)
            .find(|(ours, path, _)| *ours == method && anonymous(path) == wanted);
        let Some((_, _, ours)) = found else {
            self.missing.insert(format!("{} {}", method.to_uppercase(), text("path")));
            return;
        };
        for name in official["parameters"].as_array().expect("parameters") {
            let mut of_ours = ours["parameters"].as_array().into_iter().flatten();
            if !of_ours.any(|one| one["name"] == *name) {
                self.missing.insert(format!("{id} ?{}", name.as_str().expect("a name")));
            }
        }
        let body = &ours["requestBody"]["content"]["application/json"]["schema"];
        self.shape(&format!("{id} body"), &official["body"], body, 0);
        for (status, answer) in official["answers"].as_object().expect("answers") {
            let ours = &ours["responses"][status];
            if ours.is_null() {
                self.missing.insert(format!("{id} ={status}"));
                continue;
            }
            let schema = &ours["content"]["application/json"]["schema"];
            self.shape(&format!("{id} ={status}"), answer, schema, 0);
        }
    }

    /// Notes what of the official shape ours has not.
    fn shape(&mut self, name: &str, official: &Value, ours: &Value, depth: usize) {
        assert!(depth < DEPTH_MAX, "{name} is nested too deep");
        match official {
            Value::String(reference) => self.reference(name, reference, ours, depth),
            Value::Object(fields) => {
                for (field, official) in fields {
                    let name = format!("{name}.{field}");
                    match field_of(self.ours, ours, field) {
                        Some(ours) => self.shape(&name, official, &ours.clone(), depth + 1),
                        None => drop(self.missing.insert(name)),
                    }
                }
            }
            Value::Array(items) => {
                self.shape(name, &items[0], &items_of(self.ours, ours), depth + 1);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn reference(&mut self, name: &str, reference: &str, ours: &Value, depth: usize) {
        if let Some(of) = reference.strip_prefix("[]") {
            let items = items_of(self.ours, ours);
            return self.reference(name, of, &items, depth + 1);
        }
        if let Some(of) = reference.strip_prefix("{}") {
            let value = value_of(self.ours, ours);
            return self.reference(name, of, &value, depth + 1);
        }
        if let Some(kind) = reference.strip_prefix('#') {
            if !is_of_kind(self.ours, ours, kind) {
                self.missing.insert(format!("{name} #{kind}"));
            }
            return;
        }
        if !reference.is_empty() {
            let official = &self.official["schemas"][reference];
            self.shape(reference, official, ours, depth + 1);
        }
    }
}

/// A path whose parameters have no names.
fn anonymous(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "{}".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The schemas that together say what may stand there: those behind references and alternatives.
fn parts<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut parts = vec![schema];
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(&reference[1..]).expect("a place in the document");
        parts.extend(self::parts(document, target));
    }
    for kind in ["allOf", "anyOf", "oneOf"] {
        for part in schema[kind].as_array().into_iter().flatten() {
            parts.extend(self::parts(document, part));
        }
    }
    parts
}

/// Whether anything at all may stand there.
fn is_anything(parts: &[&Value]) -> bool {
    const SAYS: [&str; 6] = ["type", "properties", "allOf", "anyOf", "oneOf", "$ref"];
    parts.iter().any(|part| {
        **part == Value::Bool(true)
            || part
                .as_object()
                .is_some_and(|part| !SAYS.iter().any(|word| part.contains_key(*word)))
    })
}

/// Whether a plain value of this kind may stand there. A client that reads whole numbers cannot read
/// others; one that reads others can read whole numbers.
fn is_of_kind(document: &Value, schema: &Value, kind: &str) -> bool {
    let parts = parts(document, schema);
    let mut kinds = parts.iter().flat_map(|part| match &part["type"] {
        Value::Array(kinds) => kinds.iter().collect(),
        kind => vec![kind],
    });
    is_anything(&parts) || kinds.any(|ours| ours == kind || (kind == "number" && ours == "integer"))
}

const ANYTHING: &Value = &Value::Bool(true);

fn field_of<'a>(document: &'a Value, schema: &'a Value, field: &str) -> Option<&'a Value> {
    let parts = parts(document, schema);
    if is_anything(&parts) {
        return Some(ANYTHING);
    }
    let found = parts.iter().find_map(|part| part["properties"].get(field));
    found.or_else(|| {
        let more = parts.iter().map(|part| &part["additionalProperties"]);
        more.into_iter().find(|more| **more == Value::Bool(true) || more.is_object())
    })
}

fn items_of(document: &Value, schema: &Value) -> Value {
    let parts = parts(document, schema);
    let items = parts.iter().find_map(|part| part.get("items"));
    let otherwise = if is_anything(&parts) { ANYTHING } else { &Value::Null };
    items.unwrap_or(otherwise).clone()
}

fn value_of(document: &Value, schema: &Value) -> Value {
    let parts = parts(document, schema);
    let values = parts.iter().find_map(|part| part.get("additionalProperties"));
    let otherwise = if is_anything(&parts) { ANYTHING } else { &Value::Null };
    values.unwrap_or(otherwise).clone()
}
