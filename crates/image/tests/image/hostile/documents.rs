//! Indexes, manifests and configs that lie.

use super::{Case, Image, Scene, refused, refused_image, shown_image};
use crate::archive::{
    Archive, CONFIG, INDEX, LAYER, LayoutWriter, MANIFEST, config_of, gzip, zstd,
};
use serde_json::{Value, json};

const MALFORMED: &str = "image_malformed";
const DIFFERS: &str = "image_digest_differs";
const UNSUPPORTED: &str = "image_unsupported";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = wrong_content();
    cases.extend(confusion());
    cases.extend(unreachable());
    cases.extend(saved());
    cases
}

fn layer() -> Vec<u8> {
    Archive::new().file("a", b"1").finish()
}

/// A layout of one layer with a manifest that `change` has spoilt.
fn spoilt(scene: &Scene, change: impl Fn(&LayoutWriter, &mut Value)) -> Image {
    let layout = LayoutWriter::new(&scene.oci());
    let mut manifest = json!({
        "schemaVersion": 2,
        "config": layout.blob(&config_of(&[layer()]), CONFIG),
        "layers": [layout.blob(&gzip(&layer()), LAYER)],
    });
    change(&layout, &mut manifest);
    let manifest = layout.document(&manifest, MANIFEST);
    layout.finish(&[manifest]);
    Image::Directory
}

fn wrong_content() -> Vec<Case> {
    vec![
        refused_image("manifest of another digest", DIFFERS, "its reference says", |scene| {
            let layout = LayoutWriter::new(&scene.oci());
            let manifest = layout.image(&[layer()]);
            let hex = manifest["digest"].as_str().unwrap().replace("sha256:", "");
            std::fs::write(scene.oci().join("blobs/sha256").join(hex), b"{}").unwrap();
            layout.finish(&[manifest]);
            Image::Directory
        }),
        refused_image("layer of another digest", DIFFERS, "a layer has digest", |scene| {
            spoilt(scene, |layout, _| {
                let honest = gzip(&layer());
                let mut other = honest.clone();
                // The time in the header of gzip, which nothing else looks at.
                other[4] ^= 1;
                std::fs::write(layout.path(&honest), other).unwrap();
            })
        }),
        refused_image(
            "layer that unpacks to something else",
            DIFFERS,
            "a layer has digest",
            |scene| {
                spoilt(scene, |layout, manifest| {
                    let other = Archive::new().file("a", b"2").finish();
                    manifest["layers"] = json!([layout.blob(&gzip(&other), LAYER)]);
                })
            },
        ),
        refused_image("layer of another size", "image_bad_entry", "another size", |scene| {
            spoilt(scene, |_, manifest| manifest["layers"][0]["size"] = json!(1))
        }),
        refused_image("config of another size", MALFORMED, "bytes instead of 1", |scene| {
            spoilt(scene, |_, manifest| manifest["config"]["size"] = json!(1))
        }),
        refused_image("size below zero", MALFORMED, "cannot be read", |scene| {
            spoilt(scene, |_, manifest| manifest["config"]["size"] = json!(-1))
        }),
        refused_image("digest that is a path", MALFORMED, "cannot be read", |scene| {
            spoilt(scene, |_, manifest| {
                manifest["config"]["digest"] = json!("sha256:../../../../etc/passwd");
            })
        }),
        refused_image("digest of another kind", MALFORMED, "cannot be read", |scene| {
            spoilt(scene, |_, manifest| {
                manifest["config"]["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
            })
        }),
        refused_image("fewer layers than the config says", MALFORMED, "lists 0 layers", |scene| {
            spoilt(scene, |_, manifest| manifest["layers"] = json!([]))
        }),
    ]
}

fn confusion() -> Vec<Case> {
    vec![
        refused_image("manifest that is an index as well", MALFORMED, "at once", |scene| {
            spoilt(scene, |_, manifest| manifest["manifests"] = json!([]))
        }),
        refused_image("manifest that calls itself an index", MALFORMED, "said to be", |scene| {
            spoilt(scene, |_, manifest| manifest["mediaType"] = json!(INDEX))
        }),
        refused_image("index that is called a manifest", MALFORMED, "said to be", |scene| {
            let layout = LayoutWriter::new(&scene.oci());
            let index = json!({"manifests": [layout.image(&[layer()])]});
            let index = layout.document(&index, MANIFEST);
            layout.finish(&[index]);
            Image::Directory
        }),
        refused_image("foreign layer", UNSUPPORTED, "all of its layers", |scene| {
            spoilt(scene, |_, manifest| {
                manifest["layers"][0]["mediaType"] =
                    json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
                manifest["layers"][0]["urls"] = json!(["http://127.0.0.1:1/layer"]);
            })
        }),
        refused_image("layer that is no archive", UNSUPPORTED, "a layer of type", |scene| {
            spoilt(scene, |_, manifest| manifest["layers"][0]["mediaType"] = json!("text/html"))
        }),
        refused_image("artifact", UNSUPPORTED, "an artifact", |scene| {
            spoilt(scene, |_, manifest| {
                manifest["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json");
            })
        }),
        refused_image("manifest of schema version 1", UNSUPPORTED, "schema version 1", |scene| {
            let layout = LayoutWriter::new(&scene.oci());
            let old = json!({"schemaVersion": 1, "fsLayers": [], "history": []});
            let old = layout.document(&old, MANIFEST);
            layout.finish(&[old]);
            Image::Directory
        }),
        refused_image("image for another machine", "image_no_variant", "linux/s390x", |scene| {
            spoilt(scene, |layout, manifest| {
                let text = String::from_utf8(config_of(&[layer()])).unwrap();
                let mut config: Value = serde_json::from_str(&text).unwrap();
                config["architecture"] = json!("s390x");
                manifest["config"] = layout.document(&config, CONFIG);
            })
        }),
        refused_image("config that is no JSON", MALFORMED, "cannot be read", |scene| {
            spoilt(scene, |layout, manifest| manifest["config"] = layout.blob(b"{", CONFIG))
        }),
        refused_image("config nested without end", MALFORMED, "cannot be read", |scene| {
            spoilt(scene, |layout, manifest| {
                manifest["config"] = layout.blob(&vec![b'['; 1 << 20], CONFIG);
            })
        }),
        shown_image(
            "layer compressed otherwise than it says",
            |scene| {
                spoilt(scene, |layout, manifest| {
                    manifest["layers"] = json!([layout.blob(&zstd(&layer()), LAYER)]);
                })
            },
            |image| image.assert_file("a", b"1"),
        ),
    ]
}

fn unreachable() -> Vec<Case> {
    vec![
        refused_image("missing layer", "image_bad_entry", "cannot open", |scene| {
            spoilt(scene, |layout, _| std::fs::remove_file(layout.path(&gzip(&layer()))).unwrap())
        }),
        refused_image(
            "blob that is a link to the host",
            "image_bad_entry",
            "cannot open",
            |scene| {
                spoilt(scene, |layout, _| {
                    let (real, blob) = (scene.oci().join("../real"), layout.path(&gzip(&layer())));
                    std::fs::rename(&blob, &real).unwrap();
                    std::os::unix::fs::symlink(real.canonicalize().unwrap(), &blob).unwrap();
                })
            },
        ),
        refused_image("blob that is a pipe", "image_bad_entry", "is not a file", |scene| {
            spoilt(scene, |layout, _| {
                let blob = layout.path(&gzip(&layer()));
                std::fs::remove_file(&blob).unwrap();
                let made = rustix::fs::mkfifoat(
                    rustix::fs::CWD,
                    &blob,
                    rustix::fs::Mode::from_raw_mode(0o600),
                );
                made.unwrap();
            })
        }),
        refused_image("directory that holds no image", MALFORMED, "holds no OCI layout", |scene| {
            std::fs::create_dir(scene.oci()).unwrap();
            Image::Directory
        }),
    ]
}

/// A `docker save` archive that names these files.
fn saved_with(config: &str, layers: &[&str]) -> Archive {
    let manifest = json!([{"Config": config, "RepoTags": ["a:1"], "Layers": layers}]);
    Archive::new().file("manifest.json", manifest.to_string().as_bytes())
}

fn saved() -> Vec<Case> {
    vec![
        refused("saved image with a layer of the host", "image_bad_entry", "cannot open", |_| {
            let config = config_of(&[layer()]);
            saved_with("config", &["../../../../etc/passwd"]).file("config", &config).finish()
        }),
        refused("saved image with a config of the host", MALFORMED, "has no file", |_| {
            saved_with("/etc/hostname", &[]).finish()
        }),
        refused("saved image with a linked config", MALFORMED, "has no file", |scene| {
            saved_with("config", &[]).symlink("config", &scene.victim()).finish()
        }),
        shown_image(
            "saved image with its layer twice",
            |_| {
                let config = config_of(&[layer(), layer()]);
                let tar = saved_with("config", &["layer", "layer"]).file("config", &config);
                Image::Stream(tar.file("layer", &layer()).finish())
            },
            |image| image.assert_file("a", b"1"),
        ),
    ]
}
