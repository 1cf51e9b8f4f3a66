//! That the committed description is that of this code, and whole.

use super::document;
use serde::Serialize as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

mod official;

pub(super) fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Each operation: its method, path and description.
pub(super) fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths.flat_map(|(path, operations)| {
        let operations = operations.as_object().expect("operations").iter();
        operations.map(|(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

/// `DORMOUSE_UPDATE_GOLDEN=1` writes the file anew; the change is then seen in review.
#[test]
fn the_description_reads_as_committed() {
    let text = pretty(&document());
    let file = docs().join("openapi.json");
    if std::env::var_os("DORMOUSE_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).expect("the golden file can be written");
        return;
    }
    let golden = std::fs::read_to_string(&file).expect("docs/openapi.json");
    let mut pairs = golden.lines().zip(text.lines()).enumerate();
    let difference = pairs.find(|(_, (golden, now))| golden != now);
    assert_eq!(difference, None, "run with DORMOUSE_UPDATE_GOLDEN=1 if this is meant");
    assert_eq!(golden.lines().count(), text.lines().count());
}

/// Indented by one blank, because the file is long.
fn pretty(document: &Value) -> String {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
    document.serialize(&mut serializer).expect("plain JSON");
    text.push(b'\n');
    String::from_utf8(text).expect("JSON is text")
}

#[test]
fn every_operation_has_a_name_of_its_own_and_says_what_it_does() {
    let document = document();
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let name = operation["operationId"].as_str().expect("a name");
        assert!(!name.is_empty() && names.insert(name), "{method} {path}: `{name}`");
        let summary = operation["summary"].as_str().expect("a summary");
        assert!(summary.ends_with('.'), "{method} {path}: `{summary}`");
        let responses = operation["responses"].as_object().expect("responses");
        let goes_well = responses.keys().any(|status| status.as_str() < "400");
        assert!(goes_well, "{method} {path} never goes well");
        let unnamed = path.split('/').filter(|part| part.starts_with('{')).find(|part| {
            let named = operation["parameters"].as_array().into_iter().flatten();
            !named
                .clone()
                .any(|one| format!("{{{}}}", one["name"].as_str().unwrap_or("")) == **part)
        });
        assert_eq!(unnamed, None, "{method} {path}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(value: &Value, document: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').expect("a place in the document");
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                fields.values().for_each(|field| check(field, document));
            }
            Value::Array(items) => items.iter().for_each(|item| check(item, document)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document();
    check(&document, &document);
}
