//! Images that are looked at, and images that go.

use crate::{create, images, pull, push, refused};
use rusqlite::Connection;
use serde_json::{Value, json};
use testkit::registry::{Access, Registry};
use testkit::{Instance, wait};

fn prune(instance: &Instance, wish: &Value) -> Value {
    instance.post("/v1/images/prune", wish).expect(200)
}

fn names(images: &Value) -> Vec<String> {
    let images = images.as_array().expect("a list");
    images.iter().map(|image| image["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn only_unused_images_go_and_a_dry_run_says_which() {
    let registry = Registry::start(Access::Open);
    let instance = Instance::start();
    let references = ["used", "older", "newer"].map(|name| {
        push(&registry, name, name);
        let reference = registry.reference(&format!("{name}:latest"));
        drop(pull(&instance, &reference));
        reference
    });
    let [used, older, newer] = &references;
    let machine = create(&instance, used).expect(200);
    let id = machine["id"].as_str().expect("an id");
    instance.wait_for(id, "started");

    let all = images(&instance);
    let image = all.iter().find(|image| image["name"] == used.as_str()).expect("listed");
    assert_eq!((all.len(), &image["machine_count"]), (3, &json!(1)), "{image}");
    assert!(image["size_bytes"].as_u64().is_some_and(|n| n > 0), "{image}");
    assert!(image["shared_bytes"].is_u64() && image["last_used_at"].is_string(), "{image}");
    assert_eq!(all[0]["name"], used.as_str(), "a machine's creation is its latest use: {all:?}");
    let digest = image["digest"].as_str().expect("a digest");
    let shown = instance.get(&format!("/v1/images/{digest}")).expect(200);
    assert_eq!((&shown["machines"], &shown["digest"]), (&json!([id]), &image["digest"]));
    assert!(shown["layers"].as_array().is_some_and(|layers| !layers.is_empty()), "{shown}");
    assert!(shown["tags"].to_string().contains("/used:latest"), "{shown}");

    let planned = prune(&instance, &json!({"dry_run": true}));
    assert_eq!(names(&planned["removed"]).len(), 2, "{planned}");
    assert!(!names(&planned["removed"]).contains(used) && planned["dry_run"] == true);
    assert_eq!(images(&instance).len(), 3);
    let young = prune(&instance, &json!({"older_than_s": 3600}));
    assert_eq!(young["removed"], json!([]));

    let kept_one = prune(&instance, &json!({"keep": 1}));
    assert_eq!(names(&kept_one["removed"]), std::slice::from_ref(older), "{kept_one}");
    assert!(kept_one["freed_bytes"].as_u64().is_some_and(|n| n > 0), "{kept_one}");
    assert_eq!(names(&prune(&instance, &json!({}))["removed"]), std::slice::from_ref(newer));
    assert_eq!(instance.sh(id, "cat /marker"), "used");

    drop(refused(instance.delete(&format!("/v1/images/{digest}")), 412, "image_in_use"));
    tests::fixture::destroy(&instance, id);
    assert_eq!(instance.delete(&format!("/v1/images/{digest}")).status, 200);
    assert!(images(&instance).is_empty());
}

/// Makes all images but one look as if they had not been used for a year; the daemon is not running.
fn age(instance: &Instance, but: &Value) {
    let store = Connection::open(instance.data_dir().join("dormouse.db")).expect("the store");
    let year_ms = 365 * 24 * 3_600_000_i64;
    let sql = "UPDATE images SET last_used_at = last_used_at - ?1 WHERE digest <> ?2";
    let n_aged = store.execute(sql, (year_ms, but.as_str().expect("a digest")));
    assert_eq!(n_aged.expect("the store is nobody else's"), 2);
}

#[test]
fn a_budget_takes_what_is_unused_for_long_and_nothing_else() {
    let registry = Registry::start(Access::Open);
    let mut instance = Instance::start();
    let [used, unused, young, late] = ["used", "unused", "young", "late"].map(|name| {
        push(&registry, name, name);
        registry.reference(&format!("{name}:latest"))
    });
    drop(pull(&instance, &unused));
    let young_digest = pull(&instance, &young)["image"]["digest"].clone();
    let machine = create(&instance, &used).expect(200);
    let id = machine["id"].as_str().expect("an id");
    instance.wait_for(id, "started");
    instance.end_process();
    age(&instance, &young_digest);

    instance.set_args(&["--image-budget-gib=0"]);
    instance.start_again();
    wait::eventually("the unused image goes by itself", || {
        (images(&instance).len() == 2).then_some(())
    });
    assert_eq!(instance.sh(id, "cat /marker"), "used");
    // The budget is looked at again after each pull; what is young stays, whatever the budget.
    drop(pull(&instance, &late));
    let left = Value::from(images(&instance));
    let mut left = names(&left);
    left.sort();
    assert_eq!(left, [late, used, young]);
}
