//! Labels of a machine. Changing them makes no version and restarts nothing.

use super::body::JsonBody;
use super::extract::{Operate, Read};
use super::{Answer, reply};
use crate::contract::{MetadataChange, MetadataValue};
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use control::Control;
use std::collections::BTreeMap;

/// Path of one label; app and machine are read by the extractor of the machine.
type KeyPath = Path<(String, String, String)>;

/// `GET …/metadata`.
pub(super) async fn all(Read(on): Read) -> Answer {
    reply::ok(&on.record.spec.metadata)
}

/// `PUT` and `PATCH …/metadata`: both merge.
pub(super) async fn merge(
    State(control): State<Control>,
    Operate(on): Operate,
    body: JsonBody,
) -> Answer {
    let change: MetadataChange = body.to()?;
    let metadata = change.metadata.into_iter().map(|(key, value)| (key, unless_empty(value)));
    let version = change.machine_version.filter(|version| !version.is_empty());
    apply(&control, on, metadata.collect(), version).await
}

/// `GET …/metadata/{key}`.
pub(super) async fn one(Read(on): Read, Path((_, _, key)): KeyPath) -> Answer {
    let value = on.record.spec.metadata.get(&key).cloned();
    if value.is_some() {
        return reply::ok(&MetadataValue { value });
    }
    let text = format!("not_found: metadata key `{key}` not found");
    Err(Problem::new(StatusCode::NOT_FOUND, "metadata_not_found", text)
        .hint("`GET …/metadata` lists the keys"))
}

/// `POST …/metadata/{key}`.
pub(super) async fn set(
    State(control): State<Control>,
    Operate(on): Operate,
    Path((_, _, key)): KeyPath,
    body: JsonBody,
) -> Answer {
    let wish: MetadataValue = body.to()?;
    apply(&control, on, BTreeMap::from([(key, unless_empty(wish.value))]), None).await
}

/// `DELETE …/metadata/{key}`.
pub(super) async fn unset(
    State(control): State<Control>,
    Operate(on): Operate,
    Path((_, _, key)): KeyPath,
) -> Answer {
    apply(&control, on, BTreeMap::from([(key, None)]), None).await
}

fn unless_empty(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.is_empty())
}

async fn apply(
    control: &Control,
    on: super::extract::OnMachine,
    changes: BTreeMap<String, Option<String>>,
    version: Option<String>,
) -> Answer {
    let id = &on.record.id;
    control
        .merge_metadata(id, on.cause, changes, version)
        .await
        .map_err(|e| Problem::from_control(&e, Some(id)))?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
