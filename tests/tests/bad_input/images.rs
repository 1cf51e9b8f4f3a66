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
    let beyond = whole.join("below/a/file");
    let circle = instance.dir().join("circle");
    std::os::unix::fs::symlink(&circle, &circle).expect("a link");
    let noise: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x5a).collect();
    let files = [
        ("short", write("short.tar", &bytes[..bytes.len() / 3]), "image_truncated"),
        ("shorter", write("shorter.tar", &bytes[..700]), "image_truncated"),
        ("nothing", write("nothing.tar", b""), "image_truncated"),
        ("noise", write("noise.tar", &noise), "image_malformed"),
        ("text", write("text.tar", "eine Wüste ☼".repeat(500).as_bytes()), "image_malformed"),
        ("gzip", write("gz.tar.gz", &[0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6]), "image_truncated"),
        ("empty-dir", empty_dir, "image_malformed"),
        ("device", PathBuf::from("/dev/zero"), "image_malformed"),
        ("absent", instance.dir().join("absent.tar"), "image_unreadable"),
        ("below-a-file", beyond, "image_unreadable"),
        ("circle", circle, "image_unreadable"),
        ("zero", PathBuf::from("/a\0b"), "image_unreadable"),
        ("long", PathBuf::from(format!("/{}", "x".repeat(5000))), "image_unreadable"),
    ];
    for (name, path, code) in &files {
        let refusal = refused(import(&instance, path, name), 422, code);
        assert!(refusal.error.len() > 30, "{name}: {}", refusal.error);
    }
    assert_eq!(instance.get("/v1/images").expect(200), json!([]));
    assert_eq!(listing(&images), before);

    for name in ["", "UPPER", "a b", "a:b:c", "../x", &"x".repeat(1000)] {
        refused(import(&instance, &whole, name), 422, "image_bad_name");
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
