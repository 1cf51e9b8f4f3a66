//! The description of the API: an OpenAPI document, made from the table that the router serves.
//!
//! `docs/openapi.json` is what [`document`] makes; a test holds the two together, and another one holds
//! it against the official description of the Machines API (`docs/api-compat.md`).
//!
//! * `schemas`: what bodies look like, once for both directions.

mod schemas;

#[cfg(test)]
mod tests;

use crate::contract::ErrorBody;
use crate::v1::operation::{Content, Kind, Operation, Parameter, Place, Right};
use crate::v1::table::operations;
use schemas::Schemas;
use serde_json::{Map, Value, json};

/// Parameters of paths: as the router names them, as the Machines API names them, what they mean.
const PATH_PARAMETERS: [(&str, &str, &str); 10] = [
    ("app", "app_name", "Name of the app."),
    ("id", "machine_id", "Id of the machine."),
    ("org", "org_slug", "Slug of the organisation; this host has `personal`."),
    ("key", "key", "Its name."),
    ("name", "name", "Its name."),
    ("hostname", "hostname", "The host name."),
    ("digest", "digest", "Digest or name of the image."),
    ("token", "token", "Id of the token."),
    ("volume", "volume_id", "Id of the volume."),
    ("ip", "ip", "The address."),
];

/// Name of a refusal among the components, before its status.
const REFUSED: &str = "Refused";
/// Where operations find it.
const REFUSALS: &str = "#/components/responses/Refused";

/// What a status says of a refusal; `docs/errors.md` has the codes that come with it.
const REFUSED_WITH: [(u16, &str); 17] = [
    (400, "The request cannot be right."),
    (401, "No token, or none that is valid."),
    (403, "A caller without the right."),
    (404, "There is none."),
    (408, "It did not come, or happen, in time."),
    (409, "Somebody else holds it, or was faster."),
    (412, "What is asked makes no sense as things are."),
    (413, "Larger than may be."),
    (415, "Not text."),
    (422, "Understood, and not to be had here."),
    (426, "The connection must be upgraded."),
    (429, "Too many calls, or too many that wait."),
    (500, "A fault of the daemon."),
    (502, "The registry answered what cannot be."),
    (503, "This host cannot now."),
    (504, "The registry did not answer in time."),
    (507, "No room on the disk."),
];

const ABOUT: &str = "The Machines API of one's own host. `x-required-right` of an operation says who may \
    ask: `none`, `any` token, one that may `read`, `self-write` or `operate` there, the `owner` of the \
    host, or a `machine` from inside, at `/.fly/api`.";

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(public_path(&operation.path)).or_insert_with(|| json!({}));
        let method = operation.method.as_str().to_lowercase();
        path[method.as_str()] = described(&operation, &mut schemas);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Dormouse",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:4280"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "responses": refusals(&mut schemas),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    });
    schemas.put_into(&mut document);
    document
}

/// `{app}` as the Machines API names it.
fn public_path(path: &str) -> String {
    PATH_PARAMETERS.iter().fold(path.to_owned(), |path, (ours, public, _)| {
        path.replace(&format!("{{{ours}}}"), &format!("{{{public}}}"))
    })
}

fn described(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut shown = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.chapter],
        "x-required-right": operation.right.word(),
        "responses": responses(operation, schemas),
    });
    let in_path =
        PATH_PARAMETERS.iter().filter(|(ours, ..)| operation.path.contains(&format!("{{{ours}}}")));
    let in_path = in_path.map(|(_, public, about)| {
        json!({"name": public, "in": "path", "required": true, "description": about,
            "schema": {"type": "string"}})
    });
    let parameters: Vec<_> = in_path.chain(operation.parameters.iter().map(parameter)).collect();
    if !parameters.is_empty() {
        shown["parameters"] = parameters.into();
    }
    if !operation.bodies.is_empty() {
        let mut content = Map::new();
        for body in &operation.bodies {
            content.insert(body.media.to_owned(), asked(body, schemas));
        }
        shown["requestBody"] = json!({"required": operation.is_body_required, "content": content});
    }
    if operation.right == Right::Nobody {
        shown["security"] = json!([]);
    }
    shown
}

fn asked(body: &Content, schemas: &mut Schemas) -> Value {
    body.schema.map_or_else(|| json!({}), |of| json!({"schema": schemas.asked(of)}))
}

fn responses(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut responses = json!({});
    for (status, content) in &operation.answers {
        let response = &mut responses[status.to_string()];
        response["description"] = meaning(*status).into();
        // One status may come with one of several media types, as the caller accepts.
        if let Some(content) = content {
            let schema = content.schema.map(|of| json!({"schema": schemas.answered(of)}));
            response["content"][content.media] = schema.unwrap_or_else(|| json!({}));
        }
    }
    for status in operation.refusals() {
        responses[status.to_string()] = json!({"$ref": format!("{REFUSALS}{status}")});
    }
    responses
}

/// Every refusal that there is, by its status; operations refer to them.
fn refusals(schemas: &mut Schemas) -> Value {
    let error = schemas.answered(|generator| generator.subschema_for::<ErrorBody>());
    let refusal = |(status, meaning): &(u16, &str)| {
        let content = json!({"application/json": {"schema": error}});
        (format!("{REFUSED}{status}"), json!({"description": meaning, "content": content}))
    };
    Value::Object(REFUSED_WITH.iter().map(refusal).collect())
}

const fn meaning(status: u16) -> &'static str {
    match status {
        101 => "The connection is upgraded.",
        201 => "Made.",
        202 => "Taken on.",
        204 => "Done.",
        _ => "Done, or found.",
    }
}

fn parameter(parameter: &Parameter) -> Value {
    let Parameter { name, place, kind, about } = *parameter;
    let mut shown = json!({"name": name, "description": about, "schema": kind_of(kind)});
    shown["in"] = match place {
        Place::Query => json!("query"),
        Place::Header => json!("header"),
    };
    shown
}

fn kind_of(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Count => json!({"type": "integer", "minimum": 0}),
        Kind::Seconds => json!({"type": ["integer", "string"], "examples": [30, "1m30s"]}),
        Kind::Word(words) => json!({"type": "string", "enum": words}),
        Kind::Words(words) => {
            json!({"type": "array", "items": {"type": "string", "enum": words}})
        }
    }
}
