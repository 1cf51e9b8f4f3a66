//! What is kept is what is used, or it is not used.

use super::*;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::pipe::{SpliceFlags, splice};
use std::fs::OpenOptions;
use std::io::Read as _;
use tempfile::TempDir;

const STATE: &[u8] = b"the state of devices";

fn key() -> Key {
    Key {
        guest: "a".repeat(64),
        qemu: "QEMU 7.2".to_owned(),
        shape: Shape { ram_mib: 2, n_cpus: 1, accel: Accel::Tcg },
        processor: String::new(),
        tsc_khz: 2_600_000,
        disk_bytes: 1 << 30,
    }
}

/// A template whose RAM holds something in two places.
fn saved() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let ram = blank_ram(&key().shape).expect("room");
    ram.write_all_at(b"begin", 4096).expect("written");
    ram.write_all_at(b"end", key().shape.ram_bytes() - 3).expect("written");
    Template::save(dir.path(), &key(), &ram, STATE).expect("saved");
    dir
}

fn open(dir: &TempDir) -> Result<Template, TemplateError> {
    Template::open(dir.path(), &key())
}

#[test]
fn what_was_saved_is_what_others_open() {
    let dir = saved();
    let template = open(&dir).expect("opened");
    assert_eq!(template.spec().resident_bytes, 2 * PAGE_BYTES as u64);
    let ram = fs::read(template.spec().ram_path).expect("ours");
    assert_eq!(ram.len() as u64, key().shape.ram_bytes());
    assert!(ram[4096..].starts_with(b"begin") && ram.ends_with(b"end"));
    for _ in 0..2 {
        assert_eq!(fs::read(template.spec().state_path).expect("ours"), STATE);
    }
    let kept = fs::metadata(dir.path().join(key().id()).join(RAM_FILE)).expect("there");
    assert!(std::os::unix::fs::MetadataExt::blocks(&kept) < 64, "zeros take no room");
}

/// All that a QEMU which its guest has taken over could try.
#[test]
fn nobody_changes_a_template_in_use() {
    let dir = saved();
    let template = open(&dir).expect("opened");
    let ram = OpenOptions::new().read(true).write(true).open(template.spec().ram_path);
    let ram = ram.expect("QEMU opens it so");
    assert!(ram.write_all_at(b"x", 0).is_err(), "no write");
    assert!(ram.set_len(0).is_err(), "no cut");
    assert!(ram.set_len(key().shape.ram_bytes() + 1).is_err(), "no growth");
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    assert!(fallocate(&ram, punch, 0, 1 << 20).is_err(), "no balloon");
    assert!(fcntl_add_seals(&ram, SealFlags::FUTURE_WRITE).is_err(), "no other rules");
}

/// As when the kernel moves memory: a page is held for longer than the kernel itself waits.
#[test]
fn a_page_that_somebody_holds_for_a_while_keeps_nothing_from_being_sealed() {
    let ram = blank_ram(&key().shape).expect("room");
    ram.write_all_at(b"held", 0).expect("written");
    let (mut reader, writer) = io::pipe().expect("a pipe");
    splice(&ram, Some(&mut 0), &writer, None, PAGE_BYTES, SpliceFlags::empty()).expect("spliced");
    let mut answers = Vec::new();
    let sealed = while_pages_are_held(|| {
        let answer = fcntl_add_seals(&ram, SealFlags::WRITE);
        answers.push(answer);
        if answers.len() == 2 {
            reader.read_exact(&mut [0; PAGE_BYTES]).expect("the page");
        }
        answer
    });
    assert_eq!((sealed, &answers[..]), (Ok(()), &[Err(Errno::BUSY), Err(Errno::BUSY), Ok(())][..]));
}

#[test]
fn a_page_that_somebody_keeps_is_an_error_in_the_end() {
    let mut n_tries = 0;
    let sealed = while_pages_are_held(|| {
        n_tries += 1;
        Err(Errno::BUSY)
    });
    assert_eq!((sealed, n_tries), (Err(Errno::BUSY), SEAL_MAX_TRIES));
}

#[test]
fn a_template_that_was_never_made_is_absent() {
    let dir = saved();
    let other = Key { qemu: "QEMU 8".to_owned(), ..key() };
    assert!(matches!(Template::open(dir.path(), &other), Err(TemplateError::Absent)));
}

#[track_caller]
fn check_damaged(damage: impl FnOnce(&Path)) {
    let dir = saved();
    damage(&dir.path().join(key().id()));
    let opened = open(&dir);
    assert!(matches!(opened, Err(TemplateError::Damaged { .. })), "{opened:?}");
    // It is made anew in the same place.
    let ram = blank_ram(&key().shape).expect("room");
    Template::save(dir.path(), &key(), &ram, STATE).expect("saved");
    assert_eq!(open(&dir).expect("opened").spec().resident_bytes, 0);
}

#[test]
fn a_flipped_bit_is_found() {
    for (file, at) in [(RAM_FILE, 4097), (STATE_FILE, 3)] {
        check_damaged(|place| {
            let mut bytes = fs::read(place.join(file)).expect("there");
            bytes[at] ^= 1;
            fs::write(place.join(file), bytes).expect("ours");
        });
    }
}

#[test]
fn a_cut_file_is_found() {
    for (file, length) in [(RAM_FILE, 8192), (RAM_FILE, 100), (STATE_FILE, 3), (RECORD_FILE, 10)] {
        check_damaged(|place| {
            let file = OpenOptions::new().write(true).open(place.join(file)).expect("there");
            file.set_len(length).expect("ours");
        });
    }
}

#[test]
fn a_longer_file_is_found() {
    check_damaged(|place| {
        let file = OpenOptions::new().write(true).open(place.join(RAM_FILE)).expect("there");
        file.write_all_at(b"more", key().shape.ram_bytes() + 9).expect("ours");
    });
}

#[test]
fn the_record_of_another_is_found() {
    check_damaged(|place| {
        let text = fs::read_to_string(place.join(RECORD_FILE)).expect("there");
        let other = text.replace("QEMU 7.2", "QEMU 7.3");
        fs::write(place.join(RECORD_FILE), other).expect("ours");
    });
}

#[test]
fn all_that_shapes_a_template_is_in_its_name() {
    let keys = [
        key(),
        Key { guest: "b".repeat(64), ..key() },
        Key { qemu: "QEMU 8".to_owned(), ..key() },
        Key { processor: "another".to_owned(), ..key() },
        Key { tsc_khz: 2_600_010, ..key() },
        Key { disk_bytes: 2 << 30, ..key() },
        Key { shape: Shape { ram_mib: 3, ..key().shape }, ..key() },
        Key { shape: Shape { n_cpus: 2, ..key().shape }, ..key() },
        Key { shape: Shape { accel: Accel::Kvm, ..key().shape }, ..key() },
    ];
    let ids: std::collections::BTreeSet<String> = keys.iter().map(Key::id).collect();
    assert_eq!(ids.len(), keys.len(), "{ids:?}");
}

#[test]
fn what_is_not_wanted_is_pruned() {
    let dir = saved();
    fs::create_dir(dir.path().join("new-part")).expect("ours");
    prune(dir.path(), |found| *found == key()).expect("removed");
    assert_eq!(durable::names_in(dir.path()).expect("listed"), [key().id()]);
    open(&dir).expect("opened");
    prune(dir.path(), |_| false).expect("removed");
    assert!(matches!(open(&dir), Err(TemplateError::Absent)));
}
