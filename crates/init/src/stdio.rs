//! Standard streams of a program: pipes, or a terminal.

use crate::identity::Identity;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Both ends of a program's standard streams.
#[derive(Debug)]
pub(crate) struct Stdio {
    /// The program's ends: closed in init as soon as it has started.
    theirs: Theirs,
    /// Init's ends.
    pub(crate) ours: Ours,
}

/// Init's ends. All are non-blocking.
#[derive(Debug)]
pub(crate) struct Ours {
    /// Writes to its standard input, if it has one.
    pub(crate) stdin: Option<OwnedFd>,
    /// Reads its standard output, or the terminal.
    pub(crate) stdout: OwnedFd,
    /// Reads its standard error; a terminal has none.
    pub(crate) stderr: Option<OwnedFd>,
}

#[derive(Debug)]
enum Theirs {
    Pipes { stdin: OwnedFd, stdout: OwnedFd, stderr: OwnedFd },
    Terminal(OwnedFd),
}

/// Size of a terminal until somebody says another: rows, columns.
pub(crate) const TERMINAL_SIZE: (u16, u16) = (24, 80);

impl Stdio {
    /// Pipes for output; standard input is a pipe or empty. They belong to `owner`, who may open
    /// `/dev/stdout` again by its name.
    pub(crate) fn pipes(has_stdin: bool, owner: &Identity) -> Result<Self, Errno> {
        let (stdout, their_stdout) = pipe(owner)?;
        let (stderr, their_stderr) = pipe(owner)?;
        let (their_stdin, stdin) = if has_stdin {
            let (read_end, write_end) = pipe(owner)?;
            (read_end, Some(write_end))
        } else {
            (open_null()?, None)
        };
        for ours in [Some(&stdout), Some(&stderr), stdin.as_ref()].into_iter().flatten() {
            set_nonblocking(ours)?;
        }
        let theirs =
            Theirs::Pipes { stdin: their_stdin, stdout: their_stdout, stderr: their_stderr };
        Ok(Self { theirs, ours: Ours { stdin, stdout, stderr: Some(stderr) } })
    }

    /// A pseudo terminal of `(rows, cols)`.
    pub(crate) fn terminal(size: (u16, u16), owner: &Identity) -> Result<Self, Errno> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let upper = rustix::pty::openpt(flags)?;
        rustix::pty::unlockpt(&upper)?;
        let lower = rustix::pty::ioctl_tiocgptpeer(&upper, flags)?;
        give(&lower, owner)?;
        resize(&upper, size)?;
        set_nonblocking(&upper)?;
        let stdin = rustix::io::fcntl_dupfd_cloexec(&upper, 3)?;
        let ours = Ours { stdin: Some(stdin), stdout: upper, stderr: None };
        Ok(Self { theirs: Theirs::Terminal(lower), ours })
    }

    /// Path of the terminal, if the program has one.
    pub(crate) fn terminal_path(&self) -> Option<String> {
        match self.theirs {
            Theirs::Pipes { .. } => None,
            Theirs::Terminal(_) => {
                rustix::pty::ptsname(&self.ours.stdout, Vec::new()).ok()?.into_string().ok()
            }
        }
    }

    /// What the program gets as descriptors 0, 1 and 2.
    pub(crate) fn theirs(&self) -> [BorrowedFd<'_>; 3] {
        match &self.theirs {
            Theirs::Pipes { stdin, stdout, stderr } => {
                [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]
            }
            Theirs::Terminal(lower) => [lower.as_fd(), lower.as_fd(), lower.as_fd()],
        }
    }
}

/// Tells a terminal its size.
pub(crate) fn resize(upper: impl AsFd, (rows, cols): (u16, u16)) -> Result<(), Errno> {
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(upper, size)
}

/// Reads and writes of `fd` never wait from now on.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> Result<(), Errno> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)
}

fn pipe(owner: &Identity) -> Result<(OwnedFd, OwnedFd), Errno> {
    let ends = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    give(&ends.0, owner)?;
    Ok(ends)
}

fn give(fd: &OwnedFd, owner: &Identity) -> Result<(), Errno> {
    if owner.uid == 0 {
        return Ok(());
    }
    rustix::fs::fchown(fd, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))
}

fn open_null() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}
