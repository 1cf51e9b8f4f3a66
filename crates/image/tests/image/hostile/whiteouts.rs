//! Whiteouts that try to delete more than the layers below.

use super::{Case, Image, Scene, Shown, refused_image, shown, shown_image};
use crate::archive::Archive;

pub(super) fn cases() -> Vec<Case> {
    vec![
        on_top(
            "whiteout through a symbolic link",
            |scene| {
                let tar = Archive::new().dir(&scene.inside()).symlink("out", &scene.outside());
                tar.file(&(scene.inside() + "/victim"), b"1")
            },
            || Archive::new().file("out/.wh.victim", b""),
            |image| {
                image.assert_absent(&format!("{}/victim", image.target));
                assert!(image.path(&image.target).is_dir());
            },
        ),
        on_top(
            "opaque directory through a symbolic link",
            |scene| {
                let tar = Archive::new().dir(&scene.inside()).symlink("out", &scene.outside());
                tar.file(&(scene.inside() + "/victim"), b"1")
            },
            || Archive::new().file("out/.wh..wh..opq", b""),
            |image| image.assert_absent(&format!("{}/victim", image.target)),
        ),
        refused_image("whiteout that climbs", "image_bad_entry", "leaves the root", |_| {
            let below = Archive::new().file("victim", b"1").finish();
            Image::Layers(vec![below, Archive::new().file("../.wh.victim", b"").finish()])
        }),
        on_top(
            "whiteout of a directory's own dots",
            |_| Archive::new().file("d/kept", b"1"),
            || Archive::new().file("d/.wh...", b"").file("d/.wh..", b"").file("d/.wh.", b""),
            |image| image.assert_file("d/kept", b"1"),
        ),
        on_top(
            "whiteout of what its own layer brings",
            |_| Archive::new().file("d/old", b"1"),
            || Archive::new().file("d/new", b"2").file("d/.wh.new", b"").file("d/.wh.old", b""),
            |image| {
                image.assert_file("d/new", b"2");
                image.assert_absent("d/old");
            },
        ),
        on_top(
            "whiteout of a link",
            |scene| Archive::new().symlink("link", &scene.outside()),
            || Archive::new().file(".wh.link", b""),
            |image| image.assert_absent("link"),
        ),
        on_top(
            "whiteout with content",
            |_| Archive::new().file("a", b"1"),
            || Archive::new().file(".wh.a", b"whiteouts are empty").file("b", b"2"),
            |image| {
                image.assert_absent("a");
                image.assert_absent(".wh.a");
                image.assert_file("b", b"2");
            },
        ),
        shown(
            "whiteout in a root file system",
            |_| Archive::new().file("a", b"1").file(".wh.a", b"a name like any other"),
            |image| {
                image.assert_file("a", b"1");
                image.assert_file(".wh.a", b"a name like any other");
            },
        ),
    ]
}

/// A case of two layers.
fn on_top(
    name: &'static str,
    below: impl Fn(&Scene) -> Archive + 'static,
    above: impl Fn() -> Archive + 'static,
    look: impl Fn(&Shown<'_>) + Sync + 'static,
) -> Case {
    let layers = move |scene: &Scene| vec![below(scene).finish(), above().finish()];
    shown_image(name, move |scene| Image::Layers(layers(scene)), look)
}
