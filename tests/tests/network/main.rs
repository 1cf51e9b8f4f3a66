//! The private network with real machines: who finds whom by which name, where machines may speak to,
//! and what they hear when they may not.

mod api;
mod config;
mod egress;
mod floods;
mod guest;
mod names;
mod outside;
mod resolver;
mod rules;

use serde_json::{Value, json};
use testkit::Instance;
use tests::fixture;

/// A machine that waits, with `more` in its configuration.
#[track_caller]
fn waiting(instance: &Instance, more: &Value) -> String {
    let mut config = json!({"init": {"exec": ["/bin/sleep", "600"]}});
    let fields = config.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    fixture::started(instance, "", &config)
}

/// A machine of the app `other`, which is in a network of its own; its id.
#[track_caller]
fn stranger(instance: &Instance) -> String {
    let app = json!({"name": "other", "org_slug": "personal", "network": "another"});
    drop(instance.post("/v1/apps", &app).expect(201));
    let config = fixture::config("", &json!({"init": {"exec": ["/bin/sleep", "600"]}}));
    let made = instance.post("/v1/apps/other/machines", &json!({"config": config})).expect(200);
    let id = made["id"].as_str().expect("an id").to_owned();
    let wait = format!("/v1/apps/other/machines/{id}/wait?state=started");
    drop(instance.get(&wait).expect(200));
    id
}

/// One of the fields of the machine's view.
#[track_caller]
fn field(instance: &Instance, id: &str, name: &str) -> String {
    let view = instance.get(&Instance::path(id)).expect(200);
    view[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {view}")).to_owned()
}
