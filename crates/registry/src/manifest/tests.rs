//! Documents of both families, documents that lie, and which image is chosen.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn digest(n: u8) -> String {
    format!("sha256:{}", model::ids::hex_of(&[n; 32]))
}

fn layer_json(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": digest(1), "size": 10})
}

fn image_json(media_type: Option<&str>, layers: &[Value]) -> Value {
    let config = json!({"mediaType": CONFIGS[0], "digest": digest(9), "size": 5});
    let mut image = json!({"schemaVersion": 2, "config": config, "layers": layers});
    if let Some(media_type) = media_type {
        image["mediaType"] = json!(media_type);
    }
    image
}

fn entry(n: u8, os: &str, architecture: &str, variant: &str) -> Value {
    let platform = json!({"os": os, "architecture": architecture, "variant": variant});
    json!({"mediaType": OCI_MANIFEST, "digest": digest(n), "size": 7, "platform": platform})
}

fn parse(content_type: Option<&str>, document: &Value) -> Result<Document, BadManifest> {
    Document::parse(content_type, document.to_string().as_bytes())
}

#[track_caller]
fn refuse(content_type: Option<&str>, document: &Value, expected: &str) {
    let error = parse(content_type, document).expect_err("refused");
    assert!(error.to_string().contains(expected), "{error}");
}

#[track_caller]
fn check_choice(entries: &[Value], expected: Option<u8>) {
    let index = json!({"schemaVersion": 2, "manifests": entries});
    let Ok(Document::Index(entries)) = parse(Some(OCI_INDEX), &index) else { panic!("an index") };
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), level: 3 };
    let chosen = choose(&entries, &platform).ok().map(|entry| entry.blob.digest.to_string());
    assert_eq!(chosen, expected.map(digest));
}

#[test]
fn both_families_of_media_types_are_read() {
    for (manifest, layer, compression) in [
        (OCI_MANIFEST, "application/vnd.oci.image.layer.v1.tar", Compression::None),
        (OCI_MANIFEST, "application/vnd.oci.image.layer.v1.tar+gzip", Compression::Gzip),
        (OCI_MANIFEST, "application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd),
        (DOCKER_MANIFEST, "application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip),
        (DOCKER_MANIFEST, "application/vnd.docker.image.rootfs.diff.tar", Compression::None),
    ] {
        let document = image_json(Some(manifest), &[layer_json(layer)]);
        let Ok(Document::Image(image)) = parse(Some(manifest), &document) else {
            panic!("{manifest} {layer}")
        };
        assert_eq!(image.layers[0].compression, compression);
        assert_eq!(image.layers[0].blob.size, 10);
    }
}

#[test]
fn a_missing_or_generic_media_type_is_told_by_the_shape() {
    for sent in [None, Some("application/json; charset=utf-8"), Some("text/plain")] {
        assert!(matches!(parse(sent, &image_json(None, &[])), Ok(Document::Image(_))));
        let index = json!({"schemaVersion": 2, "manifests": []});
        assert!(matches!(parse(sent, &index), Ok(Document::Index(_))));
    }
}

#[test]
fn media_types_must_agree() {
    let image = image_json(Some(OCI_MANIFEST), &[]);
    refuse(Some(OCI_INDEX), &image, "not the one that the registry sent");
    refuse(Some(OCI_INDEX), &image_json(None, &[]), "its content another");
    let mut both = image_json(None, &[]);
    both["manifests"] = json!([]);
    refuse(None, &both, "at once");
    refuse(Some("text/html"), &image_json(None, &[]), "`text/html` is not supported");
}

#[test]
fn what_is_no_runnable_image_is_refused() {
    refuse(None, &json!({"schemaVersion": 1, "fsLayers": []}), "schema 1");
    refuse(
        Some("application/vnd.docker.distribution.manifest.v1+prettyjws"),
        &json!({}),
        "schema 1",
    );
    refuse(None, &json!({"schemaVersion": 2}), "no config");
    let mut helm = image_json(None, &[]);
    helm["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
    refuse(None, &helm, "not supported as the config");
    let encrypted = layer_json("application/vnd.oci.image.layer.v1.tar+gzip+encrypted");
    refuse(None, &image_json(None, &[encrypted]), "not supported as a layer");
    let many = vec![layer_json("application/vnd.oci.image.layer.v1.tar"); LAYERS_MAX + 1];
    refuse(None, &image_json(None, &many), "more than 127 layers");
    let index = json!({"manifests": vec![entry(1, "linux", "amd64", ""); INDEX_ENTRIES_MAX + 1]});
    refuse(None, &index, "more than 1000 images");
}

#[test]
fn foreign_layers_are_reported() {
    for media_type in [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        refuse(None, &image_json(None, &[layer_json(media_type)]), "is foreign");
    }
    let mut elsewhere = layer_json("application/vnd.oci.image.layer.v1.tar");
    elsewhere["urls"] = json!(["https://example.com/layer"]);
    refuse(None, &image_json(None, &[elsewhere]), "is foreign");
}

#[test]
fn other_digests_than_sha256_are_refused() {
    let mut layer = layer_json("application/vnd.oci.image.layer.v1.tar");
    layer["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
    refuse(None, &image_json(None, &[layer.clone()]), "is not a SHA-256");
    layer["digest"] = json!("sha256:../../../etc/passwd");
    refuse(None, &image_json(None, &[layer]), "is not a SHA-256");
}

#[test]
fn wrong_sizes_are_refused() {
    for size in [json!(-1), json!(1.5), json!("1"), json!(null), json!(1e30)] {
        let mut layer = layer_json("application/vnd.oci.image.layer.v1.tar");
        layer["size"] = size;
        refuse(None, &image_json(None, &[layer]), "form of a manifest");
    }
}

#[test]
fn the_image_for_this_host_is_chosen() {
    let attestation = entry(8, "unknown", "unknown", "");
    check_choice(&[entry(1, "linux", "arm64", ""), entry(2, "linux", "amd64", "")], Some(2));
    check_choice(&[attestation.clone(), entry(2, "linux", "amd64", "")], Some(2));
    check_choice(&[entry(1, "linux", "amd64", ""), entry(2, "linux", "amd64", "v3")], Some(2));
    check_choice(&[entry(1, "linux", "amd64", "v2"), entry(2, "linux", "amd64", "v4")], Some(1));
    check_choice(&[entry(1, "linux", "amd64", ""), entry(2, "linux", "amd64", "")], Some(1));
    check_choice(&[entry(1, "linux", "amd64", "v4")], None);
    check_choice(&[entry(1, "windows", "amd64", "")], None);
    check_choice(&[attestation], None);
    check_choice(&[], None);
}

#[test]
fn an_entry_without_a_platform_is_taken_only_alone() {
    let nameless = |n| json!({"mediaType": OCI_MANIFEST, "digest": digest(n), "size": 7});
    check_choice(&[nameless(1)], Some(1));
    check_choice(&[nameless(1), nameless(2)], None);
    check_choice(&[nameless(1), entry(2, "linux", "amd64", "")], Some(2));
    let artifact = json!({"mediaType": "application/x-thing", "digest": digest(3), "size": 7});
    check_choice(&[artifact, nameless(1)], Some(1));
}

#[test]
fn a_refused_choice_says_what_there_is() {
    let index = json!({"manifests": [entry(1, "linux", "arm64", "v8"), entry(2, "unknown", "unknown", "")]});
    let Ok(Document::Index(entries)) = parse(None, &index) else { panic!("an index") };
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), level: 1 };
    let error = choose(&entries, &platform).expect_err("nothing suits");
    assert_eq!(error.to_string(), "it has no image for linux/amd64; it has: linux/arm64/v8");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(Document::parse(None, &bytes));
    }

    #[test]
    fn no_changed_byte_makes_it_panic(at in 0_usize..400, byte in any::<u8>()) {
        let layer = layer_json("application/vnd.oci.image.layer.v1.tar");
        let mut bytes = image_json(Some(OCI_MANIFEST), &[layer]).to_string().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        drop(Document::parse(Some(OCI_MANIFEST), &bytes));
    }
}
