//! Where the program's stamp arrives: a log file that a daemon writes, or a pipe.
//!
//! The stamp is inside the text, so it does not matter how long the text takes to get here.

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest wait for a stamp. The slowest peer takes a quarter of a second.
const STAMP_MAX: Duration = Duration::from_secs(20);

/// Waits for a stamp of later than `after_ns` in the log at `path`, whatever its format.
pub(crate) fn wait_in_log(path: &Path, after_ns: u64) -> anyhow::Result<u64> {
    let dir = path.parent().context("a log lies in a directory")?;
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
        .context("cannot watch files")?;
    inotify::add_watch(&watch, dir, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)
        .with_context(|| format!("cannot watch {}", dir.display()))?;
    let deadline = Instant::now() + STAMP_MAX;
    loop {
        if let Some(stamp) = newest(&read_log(path)?).filter(|stamp| *stamp > after_ns) {
            return Ok(stamp);
        }
        wait_readable(&watch, deadline)
            .with_context(|| format!("no stamp in {}", path.display()))?;
        drain(&watch);
    }
}

fn read_log(path: &Path) -> anyhow::Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn drain(watch: &OwnedFd) {
    let mut events = [0; 4096];
    while rustix::io::read(watch, &mut events).is_ok_and(|n| n > 0) {}
}

/// The last stamp in `text`.
pub(crate) fn newest(text: &str) -> Option<u64> {
    let (_, after) = text.rsplit_once("stamp ")?;
    let end = after.find(|c: char| !c.is_ascii_digit())?;
    after[..end].parse().ok()
}

/// Lines that arrive through a pipe.
#[derive(Debug)]
pub(crate) struct Lines {
    pipe: File,
    pending: Vec<u8>,
}

impl Lines {
    /// Reads from `pipe`.
    pub(crate) fn new(pipe: OwnedFd) -> Self {
        Self { pipe: File::from(pipe), pending: Vec::new() }
    }

    /// The next line, without its end.
    pub(crate) fn next_line(&mut self) -> anyhow::Result<String> {
        let deadline = Instant::now() + STAMP_MAX;
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            wait_readable(&self.pipe, deadline).context("no line from the program")?;
            let mut bytes = [0; 4096];
            let n = self.pipe.read(&mut bytes).context("cannot read from the program")?;
            if n == 0 {
                bail!("the program closed its output");
            }
            self.pending.extend_from_slice(&bytes[..n]);
        }
    }

    /// The stamp in the next line.
    pub(crate) fn next_stamp(&mut self) -> anyhow::Result<u64> {
        let line = self.next_line()?;
        newest(&format!("{line}\n")).with_context(|| format!("`{line}` is no stamp"))
    }
}

/// Waits until `fd` can be read.
pub(crate) fn wait_readable(fd: &impl AsFd, deadline: Instant) -> anyhow::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).context("the wait is too long for the kernel")?;
    let mut waiting = [PollFd::new(fd, PollFlags::IN)];
    match poll(&mut waiting, Some(&timeout)) {
        Ok(0) => bail!("waited too long"),
        Ok(_) => Ok(()),
        Err(error) => Err(error).context("cannot wait"),
    }
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(newest(text), expected);
    }

    #[test]
    fn a_stamp_is_found_in_every_log_format() {
        check("", None);
        check("2026-01-01T00:00:00.1Z stdout F stamp 12\n", Some(12));
        check("{\"log\":\"stamp 12\\n\",\"stream\":\"stdout\"}\n", Some(12));
        check("stamp 12\nstamp 13\n", Some(13));
        check("stamp 12", None);
        check("nothing here\n", None);
    }
}
