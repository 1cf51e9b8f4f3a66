//! Reading a machine's log: lines in the CRI format, in a current file and rotated ones.
//!
//! The shim writes and rotates; this side only reads, so it also works for a machine that sleeps.
//! A follower waits on inotify events of the log's directory, not on a clock.

mod cursor;

use crate::error::ControlError;
use crate::facade::{LogLine, LogQuery};
use cursor::Cursor;
use rustix::fs::inotify;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
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
