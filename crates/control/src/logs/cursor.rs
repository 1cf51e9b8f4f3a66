//! How far a reader of a log has come, over its current file and the rotated ones.

use crate::facade::LogLine;
use crate::orders::LOG_MAX_FILES;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Longest line read; the shim cuts at 16 KiB, its prefix is below 100 bytes.
const LINE_MAX_BYTES: u64 = 32 * 1024;

/// Bytes read at once from the end of a file: a screenful of lines is in the first.
const BLOCK_BYTES: usize = 16 * 1024;

/// How far a reader has come.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    inode: u64,
    offset: u64,
}

impl Cursor {
    /// The last `n` lines over all files of the log; reads no more of them than that takes.
    pub(super) fn tail(&mut self, path: &Path, n: usize) -> io::Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        if let Some(file) = open(path)? {
            self.inode = file.metadata()?.ino();
            self.offset = read_lines(&file, begin_of_tail(&file, n)?, &mut lines)?;
        }
        for age in 1..LOG_MAX_FILES {
            let n_missing = n.saturating_sub(lines.len());
            if n_missing == 0 {
                break;
            }
            // One that was the current file when it was read is here under its next name.
            let file = open(&rotated(path, age))?;
            if let Some(file) = file
                && file.metadata()?.ino() != self.inode
            {
                let mut older = Vec::new();
                read_lines(&file, begin_of_tail(&file, n_missing)?, &mut older)?;
                older.append(&mut lines);
                lines = older;
            }
        }
        Ok(lines)
    }

    /// Lines written since the last look; over a rotation the rest of the old file comes first.
    pub(super) fn more(&mut self, path: &Path) -> io::Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        let Some(file) = open(path)? else { return Ok(lines) };
        let inode = file.metadata()?.ino();
        if self.inode != 0 && self.inode != inode {
            if let Some(old) = open(&rotated(path, 1))?
                && old.metadata()?.ino() == self.inode
            {
                read_lines(&old, self.offset, &mut lines)?;
            }
            self.offset = 0;
        }
        self.inode = inode;
        self.offset = read_lines(&file, self.offset, &mut lines)?;
        Ok(lines)
    }
}

fn rotated(path: &Path, age: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the last `n` whole lines of a file begin: looked for from its end, block by block.
fn begin_of_tail(file: &File, n: usize) -> io::Result<u64> {
    let mut block = [0; BLOCK_BYTES];
    let mut end = file.metadata()?.len();
    // The end of the last whole line is no beginning of another one.
    let mut n_left = n.saturating_add(1);
    while end > 0 {
        let begin = end.saturating_sub(BLOCK_BYTES as u64);
        let block = &mut block[..usize::try_from(end - begin).expect("at most a block")];
        file.read_exact_at(block, begin)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            n_left -= 1;
            if n_left == 0 {
                return Ok(begin + at as u64 + 1);
            }
        }
        end = begin;
    }
    Ok(0)
}

/// Reads whole lines from `offset`; returns where the next one begins.
fn read_lines(mut file: &File, mut offset: u64, lines: &mut Vec<LogLine>) -> io::Result<u64> {
    file.seek(SeekFrom::Start(offset))?;
    let mut reader = BufReader::new(file);
    let mut text = Vec::new();
    loop {
        text.clear();
        let n = reader.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut text)?;
        if text.last() != Some(&b'\n') {
            return Ok(offset);
        }
        offset += n as u64;
        lines.extend(parse(&String::from_utf8_lossy(&text)));
    }
}

/// One line of the CRI format: `<time> <stream> <F|P> <text>`.
fn parse(line: &str) -> Option<LogLine> {
    let mut parts = line.trim_end_matches('\n').splitn(4, ' ');
    let (at, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
    Some(LogLine {
        at: at.to_owned(),
        stream: stream.to_owned(),
        text: parts.next().unwrap_or_default().to_owned(),
        is_partial: tag == "P",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026-11-21T10:00:00.000000001Z stdout F hello  world\n";

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    fn append(path: &Path, text: &str) {
        use std::io::Write as _;
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        writeln!(file, "2026-11-21T10:00:00Z stdout F {text}").unwrap();
    }

    #[test]
    fn a_line_keeps_its_spaces() {
        let line = parse(LINE).unwrap();
        assert_eq!((line.stream.as_str(), line.text.as_str()), ("stdout", "hello  world"));
        assert!(!line.is_partial);
    }

    #[test]
    fn a_line_without_text_is_empty() {
        assert_eq!(parse("t stderr F \n").unwrap().text, "");
    }

    #[test]
    fn a_reader_sees_the_rest_of_a_rotated_file_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        append(&path, "one");
        let mut cursor = Cursor::default();
        assert_eq!(texts(&cursor.tail(&path, 10).unwrap()), ["one"]);
        append(&path, "two");
        std::fs::rename(&path, rotated(&path, 1)).unwrap();
        append(&path, "three");
        assert_eq!(texts(&cursor.more(&path).unwrap()), ["two", "three"]);
    }

    #[test]
    fn the_tail_is_the_end_of_all_files_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for (file, numbers) in [(rotated(&path, 2), 0..3), (rotated(&path, 1), 3..6)] {
            numbers.for_each(|n| append(&file, &n.to_string()));
        }
        (6..9).for_each(|n| append(&path, &n.to_string()));
        for n in 0..=12 {
            let expected: Vec<String> = (0..9).map(|n| n.to_string()).collect();
            let tail = Cursor::default().tail(&path, n).unwrap();
            assert_eq!(texts(&tail), expected[9 - n.min(9)..], "the last {n}");
        }
    }

    #[test]
    fn the_tail_is_found_over_many_blocks_and_goes_on_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let long = "x".repeat(BLOCK_BYTES / 3);
        (0..10).for_each(|n| append(&path, &format!("{n} {long}")));
        let mut cursor = Cursor::default();
        let tail = cursor.tail(&path, 7).unwrap();
        assert!(tail.iter().zip(3..10).all(|(line, n)| line.text.starts_with(&n.to_string())));
        assert_eq!(tail.len(), 7);
        append(&path, "after");
        assert_eq!(texts(&cursor.more(&path).unwrap()), ["after"]);
    }

    #[test]
    fn the_tail_leaves_out_what_is_half_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, format!("{LINE}{LINE}{}", &LINE[..20])).unwrap();
        assert_eq!(Cursor::default().tail(&path, 2).unwrap().len(), 2);
        assert_eq!(Cursor::default().tail(&path, 1).unwrap().len(), 1);
    }

    #[test]
    fn a_half_written_line_waits_for_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, &LINE[..20]).unwrap();
        let mut cursor = Cursor::default();
        assert!(cursor.tail(&path, 10).unwrap().is_empty());
        std::fs::write(&path, LINE).unwrap();
        assert_eq!(texts(&cursor.more(&path).unwrap()), ["hello  world"]);
    }
}
