//! Handing the listening sockets over to the next proxy, so that no connection is refused meanwhile.
//!
//! The next one connects to the socket of the one before; each message is a block of one size:
//!
//! ```text
//! next                                 before
//! connect            ───────────────►
//!                                      writes its records down
//!                    ◄───────────────  a block for each socket: what it is, and the descriptor
//!                    ◄───────────────  a block without a descriptor: that was all
//! reads the records, accepts by itself
//! "go"               ───────────────►  stops accepting, finishes what is under way, ends
//! ```
//!
//! When the next one ends before it says "go", the one before goes on as if nothing had been.

use crate::error::ProxyError;
use crate::persist::Keeper;
use crate::visit::door::Doors;
use model::spec::service::Transport;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Size of a block: room for a transport and an address, then zeros.
const BLOCK_BYTES: usize = 256;

/// Longest silence of the other side.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Pause after a next one that could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What the next one says when it accepts by itself.
const GO: &[u8] = b"go";

/// A listening socket on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Label {
    transport: Transport,
    address: SocketAddr,
}

/// Sockets of the proxy before, and the way to tell it to go.
#[derive(Debug)]
pub(crate) struct Taken {
    sockets: Vec<Socket>,
    predecessor: Predecessor,
}

/// A socket and what it is bound to.
pub(crate) type Socket = (Transport, SocketAddr, OwnedFd);

/// The proxy before this one.
#[derive(Debug)]
pub(crate) struct Predecessor {
    socket: UnixStream,
}

impl Taken {
    /// The sockets, and the one they come from.
    pub(crate) fn split(self) -> (Vec<Socket>, Option<Predecessor>) {
        (self.sockets, Some(self.predecessor))
    }
}

impl Predecessor {
    /// It may go: the doors are served here.
    pub(crate) async fn dismiss(mut self) {
        let told = blocking(move || self.socket.write_all(GO)).await;
        if let Err(error) = told {
            tracing::warn!(%error, "the proxy before could not be told to go");
        }
    }
}

/// Takes the sockets of the proxy before over, if there is one.
pub(crate) async fn take(path: &Path) -> Option<Taken> {
    let path = path.to_owned();
    match blocking(move || take_from(&path)).await {
        Ok(taken) => Some(taken),
        Err(error) if is_nobody(&error) => None,
        Err(error) => {
            tracing::warn!(%error, "the doors of the proxy before cannot be taken over");
            None
        }
    }
}

/// Ends a proxy that holds the doors and does not answer: nobody would come in any more.
fn end_hung(socket: &UnixStream) {
    let ended = socket_peercred(socket).and_then(|peer| kill_process(peer.pid, Signal::KILL));
    match ended {
        Ok(()) => tracing::warn!("the proxy before does not answer, and was killed"),
        Err(error) => tracing::warn!(%error, "the proxy before does not answer, nor end"),
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn take_from(path: &Path) -> io::Result<Taken> {
    let socket = UnixStream::connect(path)?;
    socket.set_read_timeout(Some(SILENCE_MAX))?;
    socket.set_write_timeout(Some(SILENCE_MAX))?;
    let mut sockets = Vec::new();
    loop {
        match receive(&socket) {
            Ok(Some(taken)) => sockets.push(taken),
            Ok(None) => break,
            Err(error) => {
                if error.kind() == io::ErrorKind::WouldBlock {
                    end_hung(&socket);
                }
                return Err(error);
            }
        }
    }
    Ok(Taken { sockets, predecessor: Predecessor { socket } })
}

/// Offers the sockets to whoever comes next, as a task in `tasks`; `done` says that it has them.
pub(crate) fn offer(
    path: &Path,
    (doors, keeper): (Arc<Doors>, Arc<Keeper>),
    done: oneshot::Sender<()>,
    tasks: &mut JoinSet<()>,
) -> Result<(), ProxyError> {
    let failed = |error| ProxyError::path("listen on", path)(error);
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    tasks.spawn(async move {
        loop {
            let next = match listener.accept().await {
                Ok((next, _)) => next,
                Err(error) => {
                    tracing::warn!(%error, "the next proxy could not be heard");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            // The next one reads what is known here before it opens the doors.
            keeper.save().await;
            let sockets = doors.sockets();
            match blocking(move || hand_over(next.into_std()?, &sockets)).await {
                Ok(()) => {
                    if done.send(()).is_err() {
                        tracing::debug!("the process ends anyway");
                    }
                    return;
                }
                Err(error) => tracing::warn!(%error, "the next proxy did not take the doors"),
            }
        }
    });
    Ok(())
}

fn hand_over(mut next: UnixStream, sockets: &[Socket]) -> io::Result<()> {
    next.set_nonblocking(false)?;
    next.set_read_timeout(Some(SILENCE_MAX))?;
    next.set_write_timeout(Some(SILENCE_MAX))?;
    for (transport, address, socket) in sockets {
        let label = Label { transport: *transport, address: *address };
        send_with(&next, &block(&label)?, socket.as_fd())?;
    }
    next.write_all(&[0; BLOCK_BYTES])?;
    let mut answer = [0; GO.len()];
    next.read_exact(&mut answer)?;
    if answer != *GO {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    Ok(())
}

fn block(label: &Label) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(label)?;
    bytes.resize(BLOCK_BYTES, 0);
    Ok(bytes)
}

fn send_with(to: &UnixStream, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::from(io::ErrorKind::OutOfMemory));
    }
    let n_sent = sendmsg(to, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    if n_sent == bytes.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero)) }
}

/// The next socket; `None` after the last.
///
/// A block with its descriptor is never read together with the next one. Source: unix(7), "ancillary
/// data forms a barrier".
fn receive(from: &UnixStream) -> io::Result<Option<Socket>> {
    let mut bytes = [0; BLOCK_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let got = recvmsg(from, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    if got.bytes != BLOCK_BYTES {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let Some(fd) = fds.next().and_then(|mut fds| fds.next()) else { return Ok(None) };
    let n_text = bytes.iter().position(|byte| *byte == 0).unwrap_or(BLOCK_BYTES);
    let label: Label = serde_json::from_slice(&bytes[..n_text])?;
    Ok(Some((label.transport, label.address, fd)))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(io::Error::other(error)),
    }
}
