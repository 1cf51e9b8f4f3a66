//! Odd things in the place of files.

use super::*;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

fn dir() -> TempDir {
    TempDir::with_prefix("dormouse-init-files-").expect("a temporary directory")
}

fn at(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().expect("a path of ours").to_owned()
}

#[test]
fn replace_makes_a_regular_file_of_anything_but_a_directory() {
    let dir = dir();
    let path = at(&dir, "file");
    for make in [
        |_: &str| {},
        |path: &str| std::fs::write(path, "old").expect("a file"),
        |path: &str| symlink("/nowhere/at/all", path).expect("a link"),
        |path: &str| {
            rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
        },
    ] {
        make(&path);
        replace(&path, b"new", 0o640).expect("it is replaced");
        let stat = rustix::fs::lstat(&path).expect("it is there");
        assert_eq!(stat.st_mode & 0o7777, 0o640);
        assert_eq!(std::fs::read(&path).expect("a regular file"), b"new");
        std::fs::remove_file(&path).expect("it can go");
    }
    std::fs::create_dir(&path).expect("a directory");
    assert_eq!(replace(&path, b"new", 0o640), Err(Errno::ISDIR));
    let left: Vec<_> = dir.path().read_dir().expect("a directory").collect();
    assert_eq!(left.len(), 1, "nothing is left beside it: {left:?}");
}

#[test]
fn a_file_that_is_right_already_is_not_touched() {
    let dir = dir();
    let path = at(&dir, "file");
    replace(&path, b"same", 0o644).expect("a new file");
    let before = rustix::fs::stat(&path).expect("it is there").st_ino;
    replace(&path, b"same", 0o644).expect("it is right");
    assert_eq!(rustix::fs::stat(&path).expect("it is there").st_ino, before);
    replace(&path, b"same", 0o600).expect("its mode is not");
    assert_ne!(rustix::fs::stat(&path).expect("it is there").st_ino, before);
}

#[test]
fn reads_are_bounded_and_never_wait() {
    let dir = dir();
    let fifo = at(&dir, "fifo");
    rustix::fs::mknodat(CWD, &*fifo, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
    assert_eq!(read_bounded(&fifo, 10), Err(Errno::INVAL));
    assert_eq!(read_bounded("/dev/zero", 10), Err(Errno::INVAL));
    let file = at(&dir, "file");
    std::fs::write(&file, [b'x'; 100]).expect("a file");
    assert_eq!(read_bounded(&file, 10), Ok(vec![b'x'; 10]));
    assert_eq!(read_bounded(&at(&dir, "none"), 10), Err(Errno::NOENT));
}

#[test]
fn missing_parents_are_made() {
    let dir = dir();
    make_dirs(&at(&dir, "a/b//c/")).expect("all of them");
    make_dirs(&at(&dir, "a/b/c")).expect("they are there");
    assert!(dir.path().join("a/b/c").is_dir());
    std::fs::write(dir.path().join("a/file"), "").expect("a file");
    assert_eq!(make_dirs(&at(&dir, "a/file/d")), Err(Errno::NOTDIR));
    assert_eq!(make_dirs(&at(&dir, "a/file")), Err(Errno::NOTDIR));
}
