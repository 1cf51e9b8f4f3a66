//! Image files that are none.

use crate::refused;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::{Instance, Reply, image};
use tests::fixture;

fn import(instance: &Instance, path: &Path, name: &str) -> Reply {
    instance.post("/v1/images/import", &json!({"path": path, "name": name}))
}

/// Everything below a directory, with its sizes.
fn listing(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let metadata = entry.metadata().expect("a file");
        if metadata.is_dir() {
            found.extend(listing(&entry.path()));
        } else {
            found.push((entry.path(), metadata.len()));
        }
    }
    found.sort();
    found
}

#[test]
fn files_that_are_no_images_are_refused_and_leave_nothing() {
    let instance = Instance::start();
    let whole = image::busybox_tarball(instance.dir(), &[]);
    let bytes = fs::read(&whole).expect("the tarball");
    let write = |name: &str, content: &[u8]| {
        let path = instance.dir().join(name);
        fs::write(&path, content).expect("a file");
        path
    };
    let images = instance.data_dir().join("images");
    let before = listing(&images);
    let empty_dir = instance.dir().join("empty");
    fs::create_dir(&empty_dir).expect("a directory");
    let files = [
        ("short", write("short.tar", &bytes[..bytes.len() / 3])),
        ("shorter", write("shorter.tar", &bytes[..700])),
        ("nothing", write("nothing.tar", b"")),
        ("noise", write("noise.tar", &bytes.iter().map(|byte| byte ^ 0x5a).collect::<Vec<_>>())),
        ("text", write("text.tar", "eine Wüste ☼".repeat(500).as_bytes())),
        ("gzip", write("gzip.tar.gz", &[0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6])),
        ("empty-dir", empty_dir),
        ("absent", instance.dir().join("absent.tar")),
        ("device", PathBuf::from("/dev/zero")),
    ];
    for (name, path) in &files {
        let refusal = refused(import(&instance, path, name), 422, "invalid_image");
        assert!(refusal.error.len() > 30, "{name}: {}", refusal.error);
    }
    assert_eq!(instance.get("/v1/images").expect(200), json!([]));
    assert_eq!(listing(&images), before);

    for name in ["", "UPPER", "a b", "a:b:c", "../x", &"x".repeat(1000)] {
        refused(import(&instance, &whole, name), 422, "invalid_image");
    }
    let relative = import(&instance, Path::new("busybox.tar"), "x");
    refused(relative, 400, "invalid_path");
    assert_eq!(import(&instance, &whole, "busybox").status, 201);
}

#[test]
fn an_image_in_use_is_not_removed() {
    let instance = Instance::start();
    instance.import_busybox(&[]);
    let id = fixture::started(&instance, "exec sleep 600", &json!({}));
    let images = instance.get("/v1/images").expect(200);
    let digest = images[0]["digest"].as_str().expect("a digest").to_owned();
    let target = format!("/v1/images/{digest}");
    refused(instance.delete(&target), 412, "image_in_use");
    assert_eq!(instance.sh(&id, "echo here"), "here\n");
    refused(instance.delete("/v1/images/sha256:x"), 400, "invalid_digest");
    refused(
        instance.delete(&format!("/v1/images/sha256:{}", "0".repeat(64))),
        404,
        "image_not_found",
    );
}
