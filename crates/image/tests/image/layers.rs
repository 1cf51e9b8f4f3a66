//! Layers on top of each other: what later ones hide, and what they must not.

use crate::archive::{Archive, write_layout};
use crate::common::Bench;
use std::path::Path;

/// Imports these layers and shows the result.
fn view(layers: &[Vec<u8>], look: impl FnOnce(&Path) + Send) {
    let bench = Bench::new();
    let manifest = write_layout(&bench.path("oci"), layers);
    let imported = bench.import(&bench.path("oci")).unwrap();
    assert_eq!(imported.image_ref.digest.hex(), manifest);
    bench.view(&imported.image_ref.digest, look);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn whiteouts_hide_earlier_layers_only() {
    let below = Archive::new().file("d/gone", b"1").file("d/kept", b"1").file("top", b"1").finish();
    let above = Archive::new()
        .file("d/new", b"2")
        .file("d/.wh.gone", b"")
        .file("d/.wh.new", b"")
        .file(".wh.top", b"")
        .file(".wh.never-was", b"")
        .finish();
    view(&[below, above], |root| {
        assert_eq!(names(root), ["d"]);
        assert_eq!(names(&root.join("d")), ["kept", "new"]);
    });
}

#[test]
fn opaque_directories_start_anew() {
    let below = Archive::new().file("d/old/deep/file", b"1").file("d/old2", b"1").finish();
    let above = Archive::new()
        .dir("d")
        .file("d/before", b"2")
        .file("d/.wh..wh..opq", b"")
        .file("d/after", b"2")
        .finish();
    view(&[below, above], |root| assert_eq!(names(&root.join("d")), ["after", "before"]));
}

#[test]
fn types_may_change_between_layers() {
    let below = Archive::new().file("a/inner", b"1").file("b", b"1").symlink("c", "b").finish();
    let above = Archive::new().file("a", b"2").file("b/inner", b"").finish();
    let bench = Bench::new();
    write_layout(&bench.path("oci"), &[below.clone(), above]);
    bench.import(&bench.path("oci")).unwrap_err();
    bench.assert_nothing_left();
    let above = Archive::new().file("a", b"2").dir("b").file("b/in", b"2").file("c", b"2").finish();
    view(&[below, above], |root| {
        assert_eq!(std::fs::read(root.join("a")).unwrap(), b"2");
        assert_eq!(names(&root.join("b")), ["in"]);
        assert!(root.join("c").symlink_metadata().unwrap().is_file());
    });
}

#[test]
fn entries_go_through_links_to_directories_of_the_image() {
    let below = Archive::new().dir("usr/lib").symlink("lib", "usr/lib").finish();
    let above = Archive::new().file("lib/libc.so", b"2").symlink("abs", "/usr/lib").finish();
    let third = Archive::new().file("abs/libm.so", b"3").finish();
    view(&[below, above, third], |root| {
        assert_eq!(names(&root.join("usr/lib")), ["libc.so", "libm.so"]);
        assert!(root.join("lib").symlink_metadata().unwrap().is_symlink());
    });
}

#[test]
fn hard_links_reach_earlier_layers() {
    use std::os::unix::fs::MetadataExt as _;
    let below = Archive::new().file("a", b"1").finish();
    let above = Archive::new().hard_link("b", "a").hard_link("b", "b").finish();
    view(&[below, above], |root| {
        let inode = |name| std::fs::metadata(root.join(name)).unwrap().ino();
        assert_eq!(inode("a"), inode("b"));
    });
}

#[test]
fn a_directory_named_again_keeps_its_files_and_changes_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let below = Archive::new().dir("d").file("d/a", b"1").finish();
    let above = Archive::new()
        .entry(tar::EntryType::Directory, "d/", "", b"", |header| header.set_mode(0o700))
        .finish();
    view(&[below, above], |root| {
        assert_eq!(names(&root.join("d")), ["a"]);
        let mode = std::fs::metadata(root.join("d")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o700);
    });
}
