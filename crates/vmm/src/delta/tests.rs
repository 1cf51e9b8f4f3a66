//! Pages that go to disk and come back, or must not.

use super::*;
use std::collections::BTreeMap;

const RAM_BYTES: u64 = 4096 * PAGE_BYTES as u64;

/// Files that a delta has.
const FILES: [&str; 4] = [INDEX_FILE, PAGES_FILE, DEVICES_FILE, RECORD_FILE];

fn key() -> Key {
    Key {
        run: "01JD000000000000000000RUN0".to_owned(),
        config: "01JD000000000000000000VER0 sha256:1234".to_owned(),
        template: "tcg-1x256-0123456789abcdef".to_owned(),
        template_sha256: "ab".repeat(32),
        disk: DiskStamp { bytes: 1 << 30, written_ns: 7 },
    }
}

fn carried() -> Carried {
    Carried { epoch: 3, unread_base64: "RG1GMQ==".to_owned(), started_at: 17, cpu_us: 4711 }
}

fn page(byte: u8) -> Vec<u8> {
    vec![byte; PAGE_BYTES]
}

fn offset(page: u64) -> u64 {
    page * PAGE_BYTES as u64
}

/// Pages 3 to 5 and 4095.
fn saved(dir: &Path) -> u64 {
    let mut writer = Writer::reserve(dir, 5).expect("room");
    writer.add(offset(3), &page(3)).expect("written");
    writer.add(offset(4), &[page(4), page(5)].concat()).expect("written");
    writer.add(offset(4095), &page(0)).expect("a page of zeros is one, too");
    writer.finish(&key(), false, b"devices", &carried()).expect("kept")
}

fn opened(dir: &Path) -> Result<BTreeMap<u64, Vec<u8>>, DeltaError> {
    let delta = Delta::open(dir, &key(), RAM_BYTES)?;
    let mut pages = BTreeMap::new();
    delta.each(|at, bytes| {
        for (n, page) in (0_u64..).zip(bytes.chunks(PAGE_BYTES)) {
            pages.insert(at + offset(n), page.to_vec());
        }
        Ok(())
    })?;
    Ok(pages)
}

#[test]
fn what_was_saved_comes_back_and_can_be_used_once() {
    let place = tempfile::tempdir().expect("a directory");
    let dir = place.path().join("ram");
    assert!(matches!(opened(&dir), Err(DeltaError::Absent)));
    let bytes = saved(&dir);
    assert_eq!(fs::metadata(dir.join(PAGES_FILE)).expect("a file").len(), offset(4));
    assert!(bytes > offset(4), "{bytes}");
    assert_eq!(key_of(&dir).expect("a record"), Some(key()));
    let pages = opened(&dir).expect("whole");
    let expected = [(3, 3), (4, 4), (5, 5), (4095, 0)].map(|(n, byte)| (offset(n), page(byte)));
    assert_eq!(pages, BTreeMap::from(expected));
    let delta = Delta::open(&dir, &key(), RAM_BYTES).expect("whole");
    assert_eq!((delta.devices(), delta.carried()), (&b"devices"[..], &carried()));
    // A later one takes its place.
    saved(&dir);
    assert_eq!(opened(&dir).expect("whole").len(), 4);
    forget(&dir).expect("forgotten");
    assert!(matches!(opened(&dir), Err(DeltaError::Absent)));
    assert_eq!(key_of(&dir).expect("none"), None);
    remove(&dir).expect("removed");
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 0);
}

#[test]
fn damage_anywhere_is_found() {
    let place = tempfile::tempdir().expect("a directory");
    let dir = place.path().join("ram");
    for file in FILES {
        let path = dir.join(file);
        saved(&dir);
        let whole = fs::read(&path).expect("a file");
        let mut damages =
            vec![whole[..whole.len() / 2].to_vec(), [whole.clone(), page(1)].concat()];
        for at in [0, whole.len() / 2, whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            damages.push(flipped);
        }
        for damage in damages {
            fs::write(&path, &damage).expect("written");
            let error = opened(&dir).expect_err("it is damaged");
            let is_found = matches!(error, DeltaError::Damaged { .. } | DeltaError::Foreign { .. });
            assert!(is_found, "{file}: {error:?}");
        }
        fs::write(&path, &whole).expect("written");
        opened(&dir).expect("whole again");
    }
}

#[test]
fn what_belongs_to_something_else_is_not_used() {
    let place = tempfile::tempdir().expect("a directory");
    let dir = place.path().join("ram");
    saved(&dir);
    let other = || "other".to_owned();
    let disk = DiskStamp { written_ns: 8, ..key().disk };
    for (key, what) in [
        (Key { run: other(), ..key() }, "run"),
        (Key { config: other(), ..key() }, "version"),
        (Key { template: other(), ..key() }, "template"),
        (Key { template_sha256: other(), ..key() }, "template"),
        (Key { disk, ..key() }, "state of the disk"),
    ] {
        let error = Delta::open(&dir, &key, RAM_BYTES).expect_err("foreign");
        assert!(matches!(error, DeltaError::Foreign { what: said } if said == what), "{error:?}");
    }
    // Nor in a guest with less RAM.
    let error = Delta::open(&dir, &key(), offset(4000)).expect_err("beyond");
    assert!(matches!(error, DeltaError::Damaged { .. }), "{error:?}");
}

#[test]
fn what_is_given_up_leaves_nothing_and_takes_nothing() {
    let place = tempfile::tempdir().expect("a directory");
    let dir = place.path().join("ram");
    saved(&dir);
    let mut writer = Writer::reserve(&dir, 1).expect("room");
    writer.add(0, &page(9)).expect("written");
    writer.give_up().expect("removed");
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 1);
    assert_eq!(opened(&dir).expect("the older one").len(), 4);
}

#[test]
fn without_room_nothing_is_begun() {
    let place = tempfile::tempdir().expect("a directory");
    let dir = place.path().join("ram");
    let error = Writer::reserve(&dir, 1 << 40).expect_err("4 PiB");
    assert!(matches!(error, DeltaError::Write(_)), "{error:?}");
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 0);
}
