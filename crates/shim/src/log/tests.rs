//! Lines, rotation and bounds of the log.

use super::*;

fn spec(dir: &tempfile::TempDir, max_bytes: u64, max_files: u32) -> LogSpec {
    LogSpec { path: dir.path().join("log"), max_bytes, max_files }
}

/// The lines of a file without their times.
fn lines(path: impl AsRef<std::path::Path>) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a log");
    text.lines().map(|line| line.split_once(' ').expect("a time").1.to_owned()).collect()
}

#[test]
fn lines_are_whole_however_they_arrive() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = LogWriter::new(spec(&dir, 1 << 20, 3));
    log.write(Channel::Stdout, b"one\ntw");
    log.write(Channel::Stderr, b"err");
    log.write(Channel::Stdout, b"o\n\n");
    log.finish();
    let expected = ["stdout F one", "stdout F two", "stdout F ", "stderr F err"];
    assert_eq!(lines(dir.path().join("log")), expected);
}

#[test]
fn a_long_line_is_cut_into_parts() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = LogWriter::new(spec(&dir, 1 << 20, 3));
    let mut text = vec![b'x'; 2 * LINE_MAX_BYTES + 5];
    text.push(b'\n');
    log.write(Channel::Stdout, &text);
    let lengths: Vec<_> = lines(dir.path().join("log")).iter().map(String::len).collect();
    let prefix = "stdout P ".len();
    assert_eq!(lengths, [prefix + LINE_MAX_BYTES, prefix + LINE_MAX_BYTES, prefix + 5]);
}

#[test]
fn a_flood_takes_no_more_room_than_agreed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = LogWriter::new(spec(&dir, 10_000, 3));
    for n in 0..10_000 {
        log.write(Channel::Stdout, format!("line {n}\n").as_bytes());
    }
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(names, ["log", "log.1", "log.2"]);
    for name in &names {
        let len = std::fs::metadata(dir.path().join(name)).expect("there").len();
        assert!(len <= 10_000, "{name} has {len} bytes");
    }
    assert_eq!(lines(dir.path().join("log")).last().expect("lines"), "stdout F line 9999");
}

#[test]
fn many_short_lines_at_once_are_rotated_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = LogWriter::new(spec(&dir, 100_000, 2));
    log.write(Channel::Stdout, "x\n".repeat(32 * 1024).as_bytes());
    for name in ["log", "log.1"] {
        let len = std::fs::metadata(dir.path().join(name)).expect("there").len();
        assert!(len <= 100_000, "{name} has {len} bytes");
    }
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let home = dir.path().join("later");
    let path = home.join("log");
    let mut log = LogWriter::new(LogSpec { path: path.clone(), max_bytes: 1 << 20, max_files: 2 });
    log.write(Channel::Stdout, b"a\nb\n");
    log.write(Channel::Stdout, b"c\n");
    std::fs::create_dir(&home).expect("made");
    log.write(Channel::Stdout, b"d\n");
    log.write(Channel::Stdout, b"e\n");
    let note = "stderr F dormouse: 3 lines could not be written here";
    assert_eq!(lines(path), [note, "stdout F d", "stdout F e"]);
}
