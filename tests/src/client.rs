//! Foreign clients of the API: where `scripts/clients` has put them, and what they are told.

use serde_json::json;
use std::path::PathBuf;
use testkit::{Instance, report};

/// Where they are, if not below `target`.
const DIRECTORY_VARIABLE: &str = "DORMOUSE_CLIENTS";

/// The directory of the client `name`; none, and a line about it in the summary, if it is not there.
#[must_use]
pub fn directory(name: &str) -> Option<PathBuf> {
    let by_default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/clients");
    let all = std::env::var_os(DIRECTORY_VARIABLE).map_or_else(by_default, PathBuf::from);
    let place = all.join(name);
    if place.with_extension("done").exists() {
        return Some(place);
    }
    let why = format!("skipped the client in {name}: `scripts/clients` has not been run");
    report::line("clients", &why);
    None
}

/// Base URL of the instance.
///
/// # Panics
/// It does not listen.
#[must_use]
#[track_caller]
pub fn url(instance: &Instance) -> String {
    let endpoint = instance.endpoint().expect("it listens");
    format!("http://{}", endpoint["tcp"].as_str().expect("an address"))
}

/// A token of the owner's reach, for a client.
///
/// # Panics
/// It is not made.
#[must_use]
#[track_caller]
pub fn token(instance: &Instance) -> String {
    let made = instance.post("/v1/tokens", &json!({"name": "client"})).expect(201);
    made["token"].as_str().expect("a token").to_owned()
}
