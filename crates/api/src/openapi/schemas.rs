//! What bodies look like, once for both directions.
//!
//! A type may be read otherwise than it is written: what may be left out of a request stands in every
//! answer. Each direction has its own generator; a type that looks the same in both is one component,
//! another one is two, and that of requests is called `…Input`.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Where components lie in the document.
const COMPONENTS: &str = "#/components/schemas/";

/// Where those of requests are said to lie until it is known what they are called.
const OF_REQUESTS: &str = "#/components/of-requests/";

/// The components of a document that is being made.
pub(super) struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = |path: &'static str| {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = path.into();
                settings.meta_schema = None;
                settings.transforms.push(Box::new(RecursiveTransform(plain)));
            })
        };
        Self {
            requests: settings(OF_REQUESTS).for_deserialize().into_generator(),
            answers: settings(COMPONENTS).for_serialize().into_generator(),
        }
    }

    /// What a request with it must look like.
    pub(super) fn asked(&mut self, of: fn(&mut SchemaGenerator) -> Schema) -> Value {
        tidied(of(&mut self.requests))
    }

    /// What an answer with it looks like.
    pub(super) fn answered(&mut self, of: fn(&mut SchemaGenerator) -> Schema) -> Value {
        tidied(of(&mut self.answers))
    }

    /// Writes the components into the document, and their names to where they are meant.
    pub(super) fn put_into(mut self, document: &mut Value) {
        let requests = self.requests.take_definitions(true);
        let mut components = self.answers.take_definitions(true);
        let doubled = doubled(&requests, &components);
        for (name, schema) in requests {
            if doubled.contains(&name) {
                components.insert(format!("{name}Input"), schema);
            } else {
                components.insert(name, schema);
            }
        }
        document["components"]["schemas"] = components.into();
        name_components(document, &doubled);
    }
}

/// Schemas that stand in the place where they are used.
fn tidied(mut schema: Schema) -> Value {
    RecursiveTransform(plain).transform(&mut schema);
    schema.into()
}

/// Takes out what says nothing outside of this program.
fn plain(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace("[`", "`").replace("`]", "`");
    }
    // That of the whole is said by leaving it out.
    schema.remove("default");
    schema.remove("title");
}

/// Names that mean one thing in requests and another one in answers.
fn doubled(requests: &Map<String, Value>, answers: &Map<String, Value>) -> BTreeSet<String> {
    let same_place = |schema: &Value| schema.to_string().replace(OF_REQUESTS, COMPONENTS);
    let in_both =
        || requests.iter().filter_map(|(name, asked)| Some((name, asked, answers.get(name)?)));
    let mut doubled: BTreeSet<String> = in_both()
        .filter(|(_, asked, answered)| same_place(asked) != answered.to_string())
        .map(|(name, ..)| name.clone())
        .collect();
    // Whoever contains something of two meanings has two meanings.
    loop {
        let refers = |schema: &Value| {
            let text = schema.to_string();
            doubled.iter().any(|name| text.contains(&format!("\"{OF_REQUESTS}{name}\"")))
        };
        let more: Vec<_> = in_both()
            .filter(|(name, asked, _)| !doubled.contains(*name) && refers(asked))
            .map(|(name, ..)| name.clone())
            .collect();
        if more.is_empty() {
            return doubled;
        }
        doubled.extend(more);
    }
}

/// Makes references to types of requests lead to their components.
fn name_components(value: &mut Value, doubled: &BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref")
                && let Some(name) = reference.strip_prefix(OF_REQUESTS)
            {
                let suffix = if doubled.contains(name) { "Input" } else { "" };
                *reference = format!("{COMPONENTS}{name}{suffix}");
            }
            fields.values_mut().for_each(|field| name_components(field, doubled));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| name_components(item, doubled)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn what_contains_something_of_two_meanings_has_two_meanings() {
        let at = |place: &str| json!({"$ref": format!("{place}Leaf")});
        let requests =
            map(json!({"Leaf": {"type": "string"}, "Tree": at(OF_REQUESTS), "Same": {}}));
        let answers = map(json!({"Leaf": {"type": "integer"}, "Tree": at(COMPONENTS), "Same": {}}));
        let doubled = doubled(&requests, &answers);
        assert_eq!(doubled.iter().collect::<Vec<_>>(), ["Leaf", "Tree"]);
        let mut document = json!([at(OF_REQUESTS), at(COMPONENTS)]);
        name_components(&mut document, &doubled);
        let named = |name: &str| json!({"$ref": format!("{COMPONENTS}{name}")});
        assert_eq!(document, json!([named("LeafInput"), named("Leaf")]));
    }
}
