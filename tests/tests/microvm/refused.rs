//! What cannot be a virtual machine here, and what is said about it.

use crate::{WAIT, config, house};
use serde_json::json;
use testkit::instance::APP;
use testkit::{Builder, Instance};
use tests::fixture;

#[test]
fn a_host_without_a_kernel_for_guests_says_so_at_create() {
    let instance = fixture::with_image(Builder::default().arg("--guest-kernel=/nowhere"), &[]);
    instance.ensure_app();
    let body = json!({"config": config(WAIT, &json!({}))});
    let refusal = instance.post(&format!("/v1/apps/{APP}/machines"), &body).refusal(422);
    assert_eq!(refusal.code, "engine_missing");
    assert!(refusal.error.contains("linux-image-cloud-amd64"), "{}", refusal.error);
    // Containers need none.
    let id = fixture::started(&instance, WAIT, &json!({}));
    fixture::destroy(&instance, &id);
}

#[test]
fn an_engine_is_for_life() {
    let Some(instance) = house() else { return };
    let id = fixture::started(&instance, WAIT, &json!({}));
    let update = json!({"config": config(WAIT, &json!({}))});
    drop(instance.post(&Instance::path(&id), &update).expect(200));
    instance.wait_for(&id, "started");
    let view = instance.get(&Instance::path(&id)).expect(200);
    assert_eq!(view["engine"], "container", "{view}");
    fixture::destroy(&instance, &id);
}
