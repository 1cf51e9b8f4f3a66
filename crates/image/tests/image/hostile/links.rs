//! Hard links that try to take hold of something outside.

use super::{Case, Image, refused, refused_image, shown};
use crate::archive::Archive;
use std::os::unix::fs::MetadataExt as _;

const BAD: &str = "image_bad_entry";

pub(super) fn cases() -> Vec<Case> {
    vec![
        refused("hard link to an absolute name", BAD, "target of `link`", |scene| {
            Archive::new().hard_link("link", &scene.victim()).finish()
        }),
        refused("hard link to a file of the host", BAD, "target of `link`", |_| {
            Archive::new().hard_link("link", "/etc/passwd").finish()
        }),
        refused("hard link that climbs", BAD, "leaves the root", |_| {
            Archive::new().hard_link("link", "../../etc/passwd").finish()
        }),
        refused("hard link through a symbolic link", BAD, "target of `link`", |scene| {
            let tar = Archive::new().symlink("out", &scene.outside());
            tar.hard_link("link", "out/victim").finish()
        }),
        refused("hard link to what is missing", BAD, "target of `link`", |_| {
            Archive::new().hard_link("link", "missing").finish()
        }),
        refused("hard link to a directory", BAD, "link", |_| {
            Archive::new().dir("dir").hard_link("link", "dir").finish()
        }),
        refused("hard link to the root", BAD, "hard link to the root", |_| {
            Archive::new().hard_link("link", "/").finish()
        }),
        refused_image("hard link to what a whiteout hid", BAD, "target of `link`", |_| {
            let below = Archive::new().file("gone", b"x").finish();
            let above = Archive::new().file(".wh.gone", b"").hard_link("link", "gone").finish();
            Image::Layers(vec![below, above])
        }),
        shown(
            "hard link to a symbolic link, then written",
            |scene| {
                let tar = Archive::new().symlink("link", &scene.victim());
                tar.hard_link("second", "link").file("second", b"evil")
            },
            |image| {
                assert!(image.path("link").symlink_metadata().unwrap().is_symlink());
                image.assert_file("second", b"evil");
            },
        ),
        shown(
            "hard link, then written",
            |_| {
                let tar = Archive::new().file("a", b"1").hard_link("b", "a");
                tar.file("b", b"2")
            },
            |image| {
                image.assert_file("a", b"1");
                image.assert_file("b", b"2");
            },
        ),
        shown(
            "hard link to itself",
            |_| Archive::new().file("a", b"1").hard_link("a", "a"),
            |image| assert_eq!(image.path("a").metadata().unwrap().nlink(), 1),
        ),
        shown(
            "hard link that carries a size",
            |_| {
                let tar = Archive::new().file("a", b"1");
                let lie = |header: &mut tar::Header| header.set_size(4096);
                tar.entry(tar::EntryType::Link, "b", "a", b"", lie).file("c", b"3")
            },
            |image| {
                image.assert_file("b", b"1");
                image.assert_file("c", b"3");
            },
        ),
        refused("symbolic link to nothing", BAD, "impossible name", |_| {
            Archive::new().symlink("link", "").finish()
        }),
        refused("symbolic link of 4,096 bytes", BAD, "impossible name", |_| {
            let target = vec![b't'; 4096];
            Archive::new().pax(&[("linkpath", &target)]).symlink("link", "").finish()
        }),
        refused("symbolic link with a zero byte", BAD, "impossible name", |_| {
            Archive::new().pax(&[("linkpath", b"a\0b")]).symlink("link", "").finish()
        }),
    ]
}
