//! Images in the store: mounted once, verified, removed, quarantined.

use crate::archive::{Archive, write_layout};
use crate::common::{Bench, in_own_mount_namespace, open_store};
use image::ImageError;
use model::ids::Digest;
use std::collections::HashSet;
use std::path::Path;

fn import(bench: &Bench, content: &[u8]) -> Digest {
    let tar = Archive::new().file("a", content).finish();
    bench.import_bytes(&tar).unwrap().image_ref.digest
}

fn n_mounts_below(dir: &Path) -> usize {
    let mounts = std::fs::read_to_string("/proc/thread-self/mounts").unwrap();
    mounts.lines().filter(|line| line.contains(dir.to_str().unwrap())).count()
}

#[test]
fn an_image_is_mounted_once() {
    let bench = Bench::new();
    let digest = import(&bench, b"1");
    in_own_mount_namespace(|| {
        let first = bench.store.mount(&digest).unwrap();
        assert_eq!(bench.store.mount(&digest).unwrap(), first);
        assert_eq!(n_mounts_below(&first), 1);
        assert_eq!(std::fs::read(first.join("a")).unwrap(), b"1");
        let refused = std::fs::write(first.join("b"), "").unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        for _ in 0..2 {
            bench.store.unmount(&digest).unwrap();
            assert_eq!(n_mounts_below(&first), 0);
        }
    });
}

#[test]
fn imports_of_one_image_at_once_agree() {
    let bench = Bench::new();
    let n_new = std::thread::scope(|scope| {
        let import = || {
            let tar = Archive::new().file("a", b"1").finish();
            bench.import_bytes(&tar).unwrap().is_new
        };
        let imports = [(); 4].map(|()| scope.spawn(import));
        imports.map(|import| import.join().unwrap()).into_iter().filter(|is_new| *is_new).count()
    });
    assert_eq!(n_new, 1);
    assert_eq!(bench.store.list().unwrap().len(), 1);
}

#[test]
fn mounting_what_is_not_there_says_so() {
    let bench = Bench::new();
    let digest: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    assert!(matches!(bench.store.mount(&digest), Err(ImageError::Missing { .. })));
    assert!(matches!(bench.store.verify(&digest), Err(ImageError::Missing { .. })));
    bench.store.remove(&digest).unwrap();
}

#[test]
fn damage_is_found() {
    let bench = Bench::new();
    let digest = import(&bench, b"1");
    bench.store.verify(&digest).unwrap();
    let file = bench.path("data/images").join(digest.hex()).join("image.erofs");
    let honest = std::fs::read(&file).unwrap();
    let mut changed = honest.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &changed).unwrap();
    assert!(matches!(bench.store.verify(&digest), Err(ImageError::Damaged { .. })));
    in_own_mount_namespace(|| {
        // This process made the image and knows it to be right; the next one does not.
        let store = open_store(bench.dir.path());
        assert!(matches!(store.mount(&digest), Err(ImageError::Damaged { .. })));
        assert!(matches!(store.mount(&digest), Err(ImageError::Missing { .. })));
    });
    assert_eq!(import(&bench, b"1"), digest, "what was put away can be brought in again");
    in_own_mount_namespace(|| bench.store.mount(&digest).unwrap());
}

#[test]
fn a_damaged_image_is_replaced_by_importing_it_again() {
    let bench = Bench::new();
    let digest = import(&bench, b"1");
    let dir = bench.path("data/images").join(digest.hex());
    let file = std::fs::File::options().write(true).open(dir.join("image.erofs")).unwrap();
    for damage in [
        &|| file.set_len(4000).unwrap(),
        &|| std::fs::write(dir.join("meta.json"), "{").unwrap(),
        &|| std::fs::remove_file(dir.join("meta.json")).unwrap(),
    ] as [&dyn Fn(); 3]
    {
        damage();
        let tar = Archive::new().file("a", b"1").finish();
        assert!(bench.import_bytes(&tar).unwrap().is_new);
        bench.store.verify(&digest).unwrap();
    }
    assert_eq!(std::fs::read_dir(bench.path("data/quarantine/images")).unwrap().count(), 3);
}

#[test]
fn documents_of_no_image_are_removed_at_open() {
    let bench = Bench::new();
    write_layout(&bench.path("oci"), &[Archive::new().file("a", b"1").finish()]);
    bench.import(&bench.path("oci")).unwrap();
    let blobs = bench.path("data/blobs/sha256");
    std::fs::write(blobs.join("0".repeat(64)), "left by a crash").unwrap();
    let n_blobs = || std::fs::read_dir(&blobs).unwrap().count();
    assert_eq!(n_blobs(), 3);
    open_store(bench.dir.path());
    assert_eq!(n_blobs(), 2);
}

#[test]
fn remove_takes_the_image_its_mount_and_its_documents() {
    let bench = Bench::new();
    let layers = [Archive::new().file("a", b"1").finish()];
    write_layout(&bench.path("oci"), &layers);
    let digest = bench.import(&bench.path("oci")).unwrap().image_ref.digest;
    in_own_mount_namespace(|| {
        let place = bench.store.mount(&digest).unwrap();
        let used = std::fs::File::open(place.join("a")).unwrap();
        assert!(matches!(bench.store.remove(&digest), Err(ImageError::Io { .. })));
        assert_eq!(bench.store.list().unwrap().len(), 1, "a used image stays");
        drop(used);
        bench.store.remove(&digest).unwrap();
        bench.store.remove(&digest).unwrap();
        assert!(!place.exists());
    });
    bench.assert_nothing_left();
}

#[test]
fn unknown_images_go_to_quarantine() {
    let bench = Bench::new();
    let (kept, lost) = (import(&bench, b"1"), import(&bench, b"2"));
    let known = HashSet::from([kept.clone()]);
    bench.store.claim(&lost).unwrap();
    let moved = bench.store.reconcile(&known).unwrap();
    assert_eq!(moved.len(), 1);
    assert!(moved[0].join("image.erofs").exists(), "no data is destroyed");
    let listed: Vec<_> = bench.store.list().unwrap().into_iter().map(|meta| meta.digest).collect();
    assert_eq!(listed, [kept]);
    assert!(bench.store.reconcile(&known).unwrap().is_empty());
    assert_eq!(import(&bench, b"2"), lost);
}

#[test]
fn open_clears_what_a_crash_left() {
    let bench = Bench::new();
    let digest = import(&bench, b"1");
    let left = bench.path("data/tmp/image/99.1/tree");
    std::fs::create_dir_all(&left).unwrap();
    let store = open_store(bench.dir.path());
    assert!(!left.exists());
    assert_eq!(store.meta(&digest).unwrap().digest, digest);
}

#[test]
fn an_image_of_another_size_is_not_mounted() {
    let bench = Bench::new();
    let digest = import(&bench, b"1");
    let file = bench.path("data/images").join(digest.hex()).join("image.erofs");
    std::fs::OpenOptions::new().append(true).open(&file).unwrap().set_len(1 << 20).unwrap();
    assert!(matches!(bench.store.mount(&digest), Err(ImageError::Damaged { .. })));
    assert!(!file.exists());
}

#[test]
fn an_image_that_nobody_recorded_goes() {
    let bench = Bench::new();
    let (recorded, forgotten) = (import(&bench, b"1"), import(&bench, b"2"));
    let known = HashSet::from([recorded.clone()]);
    assert!(bench.store.reconcile(&known).unwrap().is_empty());
    let listed: Vec<_> = bench.store.list().unwrap().into_iter().map(|meta| meta.digest).collect();
    assert_eq!(listed, [recorded], "not {forgotten}");
    assert!(!bench.path("data/quarantine").exists());
}
