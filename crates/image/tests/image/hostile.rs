//! Archives that mean harm. Each is refused with a clear error or tamed, and leaves nothing behind.

use crate::archive::{Archive, gzip, hex_digest, write_layout};
use crate::common::{Bench, chain};
use image::{ImageError, Limits};
use tar::EntryType;

/// Imports the archive, which must be refused with a text that has `expected` in it.
#[track_caller]
fn check_refused(tar: &[u8], expected: &str) {
    let bench = Bench::new();
    let refused = chain(&bench.import_bytes(tar).unwrap_err());
    assert!(refused.contains(expected), "`{refused}` does not say `{expected}`");
    bench.assert_nothing_left();
}

#[track_caller]
fn check_limited(limits: Limits, tar: &[u8], expected: &str) {
    let bench = Bench::with_limits(limits);
    let refused = chain(&bench.import_bytes(tar).unwrap_err());
    assert!(refused.contains(expected), "`{refused}` does not say `{expected}`");
    bench.assert_nothing_left();
}

/// A file outside of every image that each attack below tries to reach.
fn victim(bench: &Bench) -> String {
    bench.file("victim", b"untouched").to_str().unwrap().to_owned()
}

#[track_caller]
fn assert_untouched(bench: &Bench) {
    assert_eq!(std::fs::read(bench.path("victim")).unwrap(), b"untouched");
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(std::fs::metadata(bench.path("victim")).unwrap().nlink(), 1);
}

#[test]
fn names_that_climb_are_refused() {
    check_refused(&Archive::new().file("../evil", b"x").finish(), "leaves the root");
    check_refused(&Archive::new().file("a/../../evil", b"x").finish(), "leaves the root");
    check_refused(&Archive::new().dir("..").finish(), "leaves the root");
    let pax = Archive::new().pax(&[("path", b"x/../../evil")]).file("fine", b"x").finish();
    check_refused(&pax, "leaves the root");
    check_refused(&Archive::new().file("../.wh.victim", b"").finish(), "leaves the root");
}

#[test]
fn absolute_names_land_in_the_image() {
    let bench = Bench::new();
    let victim = victim(&bench);
    bench.view_of(&Archive::new().file(&victim, b"evil").finish(), |root| {
        let inside = root.join(victim.trim_start_matches('/'));
        assert_eq!(std::fs::read(inside).unwrap(), b"evil");
    });
    assert_untouched(&bench);
}

#[test]
fn writing_through_absolute_and_climbing_links_stays_inside() {
    let bench = Bench::new();
    let outside = victim(&bench).replace("/victim", "");
    let inside = outside.trim_start_matches('/').to_owned();
    let climbing = "../../../../../../../../../..".to_owned() + &outside;
    let tar = Archive::new()
        .dir(&inside)
        .symlink("absolute", &outside)
        .symlink("climbing", &climbing)
        .file("absolute/victim", b"evil")
        .file("climbing/second", b"evil")
        .finish();
    bench.view_of(&tar, |root| {
        for name in ["victim", "second"] {
            assert_eq!(std::fs::read(root.join(&inside).join(name)).unwrap(), b"evil");
        }
    });
    assert_untouched(&bench);
    assert!(!bench.path("second").exists());
}

#[test]
fn a_file_replaces_a_link_and_not_its_target() {
    let bench = Bench::new();
    let victim = victim(&bench);
    let tar = Archive::new().symlink("link", &victim).file("link", b"evil").finish();
    bench.view_of(&tar, |root| {
        assert!(root.join("link").symlink_metadata().unwrap().is_file());
    });
    assert_untouched(&bench);
}

#[test]
fn links_to_nowhere_are_no_way_out() {
    let bench = Bench::new();
    let outside = victim(&bench).replace("/victim", "");
    let tar = Archive::new().symlink("link", &outside).file("link/victim", b"evil").finish();
    let refused = chain(&bench.import_bytes(&tar).unwrap_err());
    assert!(refused.contains("link/victim"), "{refused}");
    assert_untouched(&bench);
    bench.assert_nothing_left();
}

#[test]
fn hard_links_to_the_host_find_nothing() {
    let bench = Bench::new();
    let victim = victim(&bench);
    for target in [victim.as_str(), "/etc/passwd", "missing"] {
        let refused = bench.import_bytes(&Archive::new().hard_link("link", target).finish());
        let refused = chain(&refused.unwrap_err());
        assert!(refused.contains("target of `link`"), "{refused}");
    }
    let climbing = Archive::new().hard_link("link", "../../etc/passwd").finish();
    assert!(chain(&bench.import_bytes(&climbing).unwrap_err()).contains("leaves the root"));
    assert_untouched(&bench);
    bench.assert_nothing_left();
}

#[test]
fn a_hard_link_to_a_link_links_the_link() {
    let bench = Bench::new();
    let victim = victim(&bench);
    let tar = Archive::new()
        .symlink("link", &victim)
        .hard_link("second", "link")
        .file("second", b"evil")
        .finish();
    bench.view_of(&tar, |root| {
        assert!(root.join("link").symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(root.join("second")).unwrap(), b"evil");
    });
    assert_untouched(&bench);
}

#[test]
fn whiteouts_do_not_reach_out() {
    let bench = Bench::new();
    let outside = victim(&bench).replace("/victim", "");
    let inside = outside.trim_start_matches('/').to_owned();
    let below = Archive::new().dir(&inside).symlink("out", &outside).finish();
    let above = Archive::new().file("out/.wh.victim", b"").file("out/.wh..wh..opq", b"").finish();
    write_layout(&bench.path("oci"), &[below, above]);
    bench.import(&bench.path("oci")).unwrap();
    assert_untouched(&bench);
}

#[test]
fn whiteouts_of_dots_are_ignored() {
    let bench = Bench::new();
    let below = Archive::new().file("d/kept", b"1").finish();
    let above = Archive::new().file("d/.wh...", b"").file("d/.wh..", b"").file("d/.wh.", b"");
    write_layout(&bench.path("oci"), &[below, above.finish()]);
    let imported = bench.import(&bench.path("oci")).unwrap();
    bench.view(&imported.image_ref.digest, |root| assert!(root.join("d/kept").exists()));
}

#[test]
fn devices_are_left_out_and_counted() {
    let bench = Bench::new();
    let tar = Archive::new()
        .device("dev/sda", 8, 0)
        .device("dev/whiteout", 0, 0)
        .entry(EntryType::Fifo, "fifo", "", b"", |_| {})
        .finish();
    let imported = bench.import_bytes(&tar).unwrap();
    assert_eq!(imported.n_devices_dropped, 2);
    bench.view(&imported.image_ref.digest, |root| {
        assert_eq!(std::fs::read_dir(root.join("dev")).unwrap().count(), 0);
        assert!(root.join("fifo").exists());
    });
}

#[test]
fn overlay_attributes_are_left_out_and_counted() {
    let bench = Bench::new();
    let tar = Archive::new()
        .pax(&[
            ("SCHILY.xattr.user.overlay.opaque", b"y"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.security.selinux", b"x"),
            ("SCHILY.xattr.user.kept", b"line one\nline two"),
        ])
        .dir("d")
        .finish();
    let imported = bench.import_bytes(&tar).unwrap();
    assert_eq!(imported.n_xattrs_dropped, 3);
    bench.view(&imported.image_ref.digest, |root| {
        let mut names = vec![0; 1024];
        let n = rustix::fs::listxattr(root.join("d"), names.as_mut_slice()).unwrap();
        assert_eq!(&names[..n], b"user.kept\0");
        let mut value = [0; 64];
        let n = rustix::fs::getxattr(root.join("d"), "user.kept", &mut value).unwrap();
        assert_eq!(&value[..n], b"line one\nline two");
    });
}

#[test]
fn archives_cut_short_are_told() {
    let whole = Archive::new().dir("d").file("d/a", &[7; 5000]).file("b", b"x");
    let without_end = whole.unfinished();
    for cut in [0, 100, 512, 700, 1024, 3000, without_end.len() - 512, without_end.len()] {
        check_refused(&without_end[..cut], "cut short");
    }
    let compressed = gzip(&Archive::new().file("a", &[7; 50_000]).finish());
    check_refused(&compressed[..compressed.len() / 2], "cut short");
    let compressed = crate::archive::zstd(&Archive::new().file("a", &[7; 50_000]).finish());
    check_refused(&compressed[..compressed.len() / 2], "cut short");
}

#[test]
fn garbage_is_told() {
    check_refused(&[0xA5; 4096], "not a tar archive");
    check_refused(b"\xfd7zXZ\0 and so on", "xz compression");
    check_refused(b"BZh91AY&SY", "bzip2");
    check_refused(&[0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], "malformed");
    let sparse = Archive::new().entry(EntryType::GNUSparse, "a", "", b"", |_| {}).finish();
    check_refused(&sparse, "sparse");
    let unknown = Archive::new().entry(EntryType::new(b'Z'), "a", "", b"", |_| {}).finish();
    check_refused(&unknown, "type 'Z'");
}

#[test]
fn bombs_are_bounded() {
    let limits = Limits { total_bytes: 1 << 20, n_entries: 100 };
    let zeros = Archive::new().file("zeros", &vec![0; 64 << 20]).finish();
    check_limited(limits, &gzip(&zeros), "limit of 1048576");
    check_limited(limits, &crate::archive::zstd(&zeros), "limit of 1048576");
    check_limited(limits, &gzip(&vec![0; 64 << 20]), "limit of 1048576");
    let many = (0..200).fold(Archive::new(), |tar, n| tar.file(&format!("f{n}"), b""));
    check_limited(limits, &many.finish(), "number of entries exceeds the limit of 100");
    check_limited(limits, &zeros, "archive of the image exceeds the limit");
}

#[test]
fn sizes_that_lie_are_told() {
    let lie = |size: u64| {
        Archive::new().entry(EntryType::Regular, "a", "", b"abc", |h| h.set_size(size)).finish()
    };
    check_refused(&lie(1 << 40), "cut short");
    check_refused(&lie(u64::MAX), "impossible size");
    let pax = Archive::new().pax(&[("size", b"99999999999999")]).file("a", b"abc").finish();
    check_refused(&pax, "cut short");
}

#[test]
fn extended_headers_are_bounded() {
    let huge = Archive::new().pax(&[("comment", &vec![b'x'; 2 << 20])]).file("a", b"").finish();
    check_refused(&huge, "extended header exceeds");
    let long = Archive::new()
        .entry(EntryType::GNULongName, "././@LongLink", "", &vec![b'x'; 2 << 20], |_| {})
        .file("a", b"")
        .finish();
    check_refused(&long, "extended header exceeds");
    let attribute = vec![b'x'; 100_000];
    let xattrs = Archive::new().pax(&[("SCHILY.xattr.user.x", &attribute)]).file("a", b"");
    check_refused(&xattrs.finish(), "too large attributes");
    let broken = Archive::new().entry(EntryType::XHeader, "pax", "", b"7 nonsense", |_| {});
    check_refused(&broken.file("a", b"").finish(), "PAX header");
}

#[test]
fn names_are_bounded() {
    let name = "n".repeat(256);
    let tar = Archive::new().pax(&[("path", name.as_bytes())]).file("a", b"").finish();
    check_refused(&tar, "too long a name");
    let path = "d/".repeat(257);
    let tar = Archive::new().pax(&[("path", path.as_bytes())]).dir("a").finish();
    check_refused(&tar, "lies too deep");
    let tar = Archive::new().pax(&[("path", b"a\0b")]).file("a", b"").finish();
    check_refused(&tar, "zero byte");
}

#[test]
fn depth_through_links_is_bounded() {
    let deep = "d/".repeat(200);
    let tar = Archive::new()
        .pax(&[("path", deep.as_bytes())])
        .dir("a")
        .pax(&[("linkpath", deep.as_bytes())])
        .symlink("link", "")
        .pax(&[("path", format!("link/{deep}").as_bytes())])
        .dir("a")
        .finish();
    check_refused(&tar, "File name too long");
}

#[test]
fn owners_beyond_the_machines_ids_are_refused() {
    let tar = Archive::new().pax(&[("uid", b"65536")]).file("a", b"").finish();
    check_refused(&tar, "owner beyond 65,535");
}

#[test]
fn duplicate_entries_leave_the_last() {
    let tar = Archive::new()
        .file("a", b"first")
        .file("a", b"second")
        .dir("b")
        .file("b/inner", b"x")
        .file("b", b"third")
        .symlink("c", "a")
        .dir("c")
        .finish();
    Bench::new().view_of(&tar, |root| {
        assert_eq!(std::fs::read(root.join("a")).unwrap(), b"second");
        assert_eq!(std::fs::read(root.join("b")).unwrap(), b"third");
        assert!(root.join("c").symlink_metadata().unwrap().is_dir());
    });
}

#[test]
fn blobs_that_are_not_their_digest_are_refused() {
    let bench = Bench::new();
    let dir = bench.path("oci");
    let layer = Archive::new().file("a", b"1").finish();
    let manifest = write_layout(&dir, std::slice::from_ref(&layer));
    let manifest = dir.join("blobs/sha256").join(manifest);
    let honest = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, [honest.as_slice(), b"\n"].concat()).unwrap();
    let refused = bench.import(&dir).unwrap_err();
    assert!(matches!(refused, ImageError::DigestDiffers { .. }), "{refused}");

    std::fs::write(&manifest, honest).unwrap();
    let blob = dir.join("blobs/sha256").join(hex_digest(&gzip(&layer)));
    let other = Archive::new().file("a", b"2").finish();
    std::fs::write(&blob, gzip(&other)).unwrap();
    let refused = bench.import(&dir).unwrap_err();
    assert!(chain(&refused).contains("a layer has digest"), "{}", chain(&refused));
    bench.assert_nothing_left();
}

#[test]
fn a_missing_layer_is_told() {
    let bench = Bench::new();
    let dir = bench.path("oci");
    let layer = Archive::new().file("a", b"1").finish();
    write_layout(&dir, std::slice::from_ref(&layer));
    std::fs::remove_file(dir.join("blobs/sha256").join(hex_digest(&gzip(&layer)))).unwrap();
    assert!(chain(&bench.import(&dir).unwrap_err()).contains("cannot open"));
    bench.assert_nothing_left();
}

#[test]
fn a_layout_cannot_lend_files_of_the_host() {
    let bench = Bench::new();
    let dir = bench.path("oci");
    let layer = Archive::new().file("a", b"1").finish();
    write_layout(&dir, std::slice::from_ref(&layer));
    let real = bench.path("real-layer");
    let blob = dir.join("blobs/sha256").join(hex_digest(&gzip(&layer)));
    std::fs::rename(&blob, &real).unwrap();
    std::os::unix::fs::symlink(&real, &blob).unwrap();
    assert!(chain(&bench.import(&dir).unwrap_err()).contains("cannot open"));
    bench.assert_nothing_left();
}

#[test]
fn directories_and_missing_files_are_no_images() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("empty")).unwrap();
    let refused = bench.import(&bench.path("empty")).unwrap_err();
    assert!(matches!(refused, ImageError::NotAnImage { .. }), "{refused}");
    assert!(chain(&bench.import(&bench.path("none")).unwrap_err()).contains("none"));
    let named =
        bench.store.import(image::ImportSource::Path(bench.path("none")), "Not A Name", &());
    assert!(matches!(named.unwrap_err(), ImageError::BadName { .. }));
}

#[test]
fn too_many_layers_are_refused() {
    let bench = Bench::new();
    let layers = vec![Archive::new().file("a", b"1").finish(); 128];
    write_layout(&bench.path("oci"), &layers);
    let refused = bench.import(&bench.path("oci")).unwrap_err();
    assert!(chain(&refused).contains("number of layers"), "{refused}");
}
