//! Reading a machine's log: lines in the CRI format, in a current file and rotated ones.
//!
//! The shim writes and rotates; this side only reads, so it also works for a machine that sleeps.
//! A follower waits on inotify events of the log's directory, not on a clock.

use crate::error::ControlError;
use crate::facade::{LogLine, LogQuery};
use crate::orders::LOG_MAX_FILES;
use rustix::fs::inotify;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

/// Lines of a log that may be asked for at once.
const LOG_TAIL_MAX: usize = 10_000;

/// Lines that wait for a reader.
const QUEUE_LINES: usize = 256;

/// A follower looks again at least this often: a rotation may fall between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Longest line read; the shim cuts at 16 KiB, its prefix is below 100 bytes.
const LINE_MAX_BYTES: u64 = 32 * 1024;

/// Begins to read; lines arrive on the receiver.
pub(crate) fn read(
    path: PathBuf,
    query: LogQuery,
) -> Result<mpsc::Receiver<LogLine>, ControlError> {
    let watch = if query.follow { Some(watch_dir(&path)?) } else { None };
    let (sender, receiver) = mpsc::channel(QUEUE_LINES);
    tokio::spawn(async move {
        if let Err(error) = send_lines(&path, query, watch, &sender).await {
            tracing::warn!(path = %path.display(), %error, "a log cannot be read");
        }
    });
    Ok(receiver)
}

fn watch_dir(path: &Path) -> Result<AsyncFd<OwnedFd>, ControlError> {
    let dir = path.parent().unwrap_or(path);
    let refused = |error: io::Error| ControlError::host("watch", dir, error);
    let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)
        .map_err(|error| refused(error.into()))?;
    let events = inotify::WatchFlags::MODIFY
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::DELETE_SELF;
    inotify::add_watch(&fd, dir, events).map_err(|error| refused(error.into()))?;
    // SAFETY: the descriptor is owned by the `AsyncFd` from here on, so it is open and the same one
    // until it is deregistered by the drop.
    unsafe { AsyncFd::register(fd) }.map_err(|error| refused(error.into()))
}

async fn send_lines(
    path: &Path,
    query: LogQuery,
    watch: Option<AsyncFd<OwnedFd>>,
    sender: &mpsc::Sender<LogLine>,
) -> io::Result<()> {
    let mut cursor = Cursor::default();
    let lines = cursor.tail(path, query.tail.min(LOG_TAIL_MAX))?;
    if !send_all(lines, sender).await {
        return Ok(());
    }
    let Some(watch) = watch else { return Ok(()) };
    loop {
        if !path.parent().is_some_and(Path::exists) || !send_all(cursor.more(path)?, sender).await {
            return Ok(());
        }
        tokio::select! {
            ready = watch.readable() => {
                let mut ready = ready?;
                drain(watch.get_ref());
                ready.clear_ready();
            }
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = sender.closed() => return Ok(()),
        }
    }
}

async fn send_all(lines: Vec<LogLine>, sender: &mpsc::Sender<LogLine>) -> bool {
    for line in lines {
        if sender.send(line).await.is_err() {
            return false;
        }
    }
    true
}

/// Forgets queued events: what matters is what the file holds now.
fn drain(fd: &OwnedFd) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    while matches!(rustix::io::read(fd, &mut buffer), Ok((read, _)) if !read.is_empty()) {}
}

/// How far a reader has come.
#[derive(Debug, Default)]
struct Cursor {
    inode: u64,
    offset: u64,
}

impl Cursor {
    /// The last `n` lines over all files of the log.
    fn tail(&mut self, path: &Path, n: usize) -> io::Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        for age in (1..LOG_MAX_FILES).rev() {
            if let Some(file) = open(&rotated(path, age))? {
                read_lines(&file, 0, &mut lines)?;
            }
        }
        lines.extend(self.more(path)?);
        let skip = lines.len().saturating_sub(n);
        Ok(lines.split_off(skip))
    }

    /// Lines written since the last look; over a rotation the rest of the old file comes first.
    fn more(&mut self, path: &Path) -> io::Result<Vec<LogLine>> {
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
