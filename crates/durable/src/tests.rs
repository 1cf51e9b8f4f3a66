//! What is published is whole, private and takes nobody's place.

use super::*;

const DOOR: Door = Door { write: "t.write", before_rename: "t.before", after_rename: "t.after" };

#[test]
fn what_is_replaced_is_whole_private_and_alone() {
    let dir = tempfile::tempdir().unwrap();
    let [tmp, path] = ["half", "whole"].map(|name| dir.path().join(name));
    for content in ["first, and longer", "second"] {
        DOOR.replace(&tmp, &path, content.as_bytes()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, FILE_MODE);
        assert_eq!(names_in(dir.path()).unwrap(), ["whole"]);
    }
}

#[test]
fn a_new_file_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new");
    DOOR.write_new(&path, b"first").unwrap();
    let refused = DOOR.write_new(&path, b"second").unwrap_err();
    assert_eq!(refused.source.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).unwrap(), b"first");
}

#[test]
fn what_is_set_aside_takes_nobodys_place() {
    let dir = tempfile::tempdir().unwrap();
    let [from, place] = ["thing", "aside"].map(|name| dir.path().join(name));
    for n in 0..2 {
        make_private_dir(&from).unwrap();
        assert_eq!(DOOR.set_aside(&from, &place).unwrap(), place.join(format!("thing.{n}")));
        assert!(!from.exists());
    }
}

#[test]
fn absent_things_are_removed_already() {
    let dir = tempfile::tempdir().unwrap();
    remove_file(&dir.path().join("none")).unwrap();
    remove_tree(&dir.path().join("none")).unwrap();
    let error = remove_file(dir.path()).unwrap_err();
    assert!(error.to_string().starts_with("cannot remove"), "{error}");
}

#[test]
fn a_full_disk_is_told_from_other_trouble() {
    let check = |errno, expected| {
        assert_eq!(is_disk_full(&io::Error::from_raw_os_error(errno)), expected, "{errno}");
    };
    check(28, true);
    check(122, true);
    check(5, false);
}
