//! Images that are looked at, and images that go.

use crate::{create, images, pull, push, refused};
use serde_json::{Value, json};
use testkit::Instance;
use testkit::registry::{Access, Registry};

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
