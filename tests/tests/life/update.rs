//! An update to another image: a fresh disk, and what becomes of the old one.

use serde_json::{Value, json};
use std::fs;
use testkit::{Instance, image};
use tests::fixture::{config, destroy, events, started, with_busybox};

/// Two images: `busybox`, and `other` with one more file.
fn with_two_images() -> Instance {
    let instance = with_busybox();
    let marker = image::script(instance.dir(), "marker", "echo other");
    let tarball = image::busybox_tarball(instance.dir(), &[("bin/marker", &marker)]);
    let body = json!({"path": tarball, "name": "other"});
    drop(instance.post("/v1/images/import", &body).expect(201));
    instance
}

fn on_image(name: &str, rootfs: &Value) -> Value {
    config("exec sleep 1000", &json!({"image": name, "rootfs": rootfs}))
}

#[track_caller]
fn update(instance: &Instance, id: &str, config: &Value) {
    let body = json!({"config": config, "skip_launch": false});
    drop(instance.post(&Instance::path(id), &body).expect(200));
    instance.wait_for(id, "started");
}

/// Names of the machine's checkpoints, each with a disk.
fn checkpoints(instance: &Instance, id: &str) -> Vec<String> {
    let dir = instance.data_dir().join("machines").join(id).join("checkpoints");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let with_disk = entries.filter(|entry| entry.path().join("disk.ext4").exists());
    with_disk.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn an_update_to_another_image_starts_a_fresh_disk_and_keeps_the_old_one() {
    let instance = with_two_images();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    drop(instance.sh(&id, "echo kept > /root/kept; sync"));
    update(&instance, &id, &on_image("other", &json!({})));
    assert_eq!(instance.sh(&id, "marker; ls /root"), "other\n");
    let shown = instance.get(&Instance::path(&id)).expect(200);
    assert_eq!(shown["image_ref"]["repository"], "other");
    let kept = checkpoints(&instance, &id);
    assert_eq!(kept, [shown["version"].as_str().expect("a version")]);
    let told = events(&instance, &id);
    let told = told.iter().filter_map(|event| event["message"].as_str());
    assert_eq!(told.filter(|text| text.contains(&kept[0])).count(), 1);

    // The image below the old disk is needed as long as that disk is.
    let images = instance.get("/v1/images").expect(200);
    let images = images.as_array().expect("a list");
    let old = images.iter().find(|image| image["name"] == "busybox:latest").expect("it is listed");
    let digest = old["digest"].as_str().expect("a digest");
    assert_eq!(instance.delete(&format!("/v1/images/{digest}")).refusal(412).code, "image_in_use");

    // An update that keeps the image keeps the disk.
    drop(instance.sh(&id, "echo new > /root/new; sync"));
    update(&instance, &id, &on_image("other", &json!({})));
    assert_eq!(instance.sh(&id, "cat /root/new"), "new\n");
    assert_eq!(checkpoints(&instance, &id).len(), 1);

    instance.kill_control();
    assert_eq!(checkpoints(&instance, &id).len(), 1);
    destroy(&instance, &id);
    assert_eq!(instance.delete(&format!("/v1/images/{digest}")).status, 200);
}

#[test]
fn a_machine_that_never_ran_has_nothing_to_keep() {
    let instance = with_two_images();
    let waiting = on_image("busybox", &json!({}));
    let id = instance.create_with(&json!({"config": waiting, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    update(&instance, &id, &on_image("other", &json!({})));
    assert_eq!(instance.sh(&id, "marker"), "other\n");
    assert!(checkpoints(&instance, &id).is_empty());
    destroy(&instance, &id);
}

#[test]
fn a_disk_that_persists_never_is_empty_at_each_start_and_not_kept() {
    let instance = with_two_images();
    let never = json!({"persist": "never"});
    let id = instance.create_with(&json!({"config": on_image("busybox", &never)}));
    instance.wait_for(&id, "started");
    drop(instance.sh(&id, "echo lost > /root/lost; sync"));
    instance.stop_machine(&id);
    instance.start_machine(&id);
    assert_eq!(instance.sh(&id, "ls /root"), "");
    drop(instance.sh(&id, "echo lost > /root/lost; sync"));
    update(&instance, &id, &on_image("other", &never));
    assert_eq!(instance.sh(&id, "marker; ls /root"), "other\n");
    assert!(checkpoints(&instance, &id).is_empty());
    destroy(&instance, &id);
}

#[test]
fn a_disk_that_persists_always_pins_the_image() {
    let instance = with_two_images();
    let always = json!({"persist": "always"});
    let id = instance.create_with(&json!({"config": on_image("busybox", &always)}));
    instance.wait_for(&id, "started");
    drop(instance.sh(&id, "echo kept > /root/kept; sync"));
    for rootfs in [&always, &json!({})] {
        let body = json!({"config": on_image("other", rootfs)});
        let refusal = instance.post(&Instance::path(&id), &body).refusal(412);
        assert_eq!(refusal.code, "image_change");
        assert!(refusal.hint.contains("rootfs.persist"), "{refusal:?}");
    }
    assert_eq!(instance.sh(&id, "cat /root/kept"), "kept\n");
    // Let go of first, it may be updated.
    update(&instance, &id, &on_image("busybox", &json!({"persist": "restart"})));
    assert_eq!(instance.sh(&id, "cat /root/kept"), "kept\n");
    update(&instance, &id, &on_image("other", &json!({})));
    assert_eq!(checkpoints(&instance, &id).len(), 1);
    destroy(&instance, &id);
}
