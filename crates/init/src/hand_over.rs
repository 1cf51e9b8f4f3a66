//! Handing a plan over to another process, which becomes the program or the command of it.
//!
//! One stream socket for each:
//!
//! ```text
//! init → it    length u32 LE with three descriptors (stdin, stdout, stderr), then Order as JSON
//! it → init    READY and its pid in its own namespace, u32 LE; the kernel adds its pid as init
//!              sees it, the program also its agent's socket (see crate::agent)
//!              then nothing and end of file: it runs
//!              or the refusal as JSON and end of file
//! ```

use crate::plan::{Plan, Refusal};
use crate::stdio::Stdio;
use crate::sys;
use crate::{EXIT_CHANNEL, EXIT_SOFTWARE};
use guest_proto::message::ORDERS_MAX_BYTES;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, sockopt,
};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

/// Longest wait for the other side, which has nothing to do but answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A plan is the orders and what was looked up.
const PLAN_MAX_BYTES: usize = 2 * ORDERS_MAX_BYTES;

/// A refusal is two short words.
const REFUSAL_MAX_BYTES: u64 = 256;

/// Says that the plan has arrived.
const READY: u8 = b'R';

/// READY and a pid.
const READY_BYTES: usize = 5;

/// What the other process shall become.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    plan: Plan,
    /// Path of the terminal that shall be its console.
    console: Option<String>,
}

/// The other process has become what it was to become.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Its pid as this process sees it.
    pub(crate) pid: Pid,
    /// Its pid in its own namespace.
    pub(crate) inner_pid: u32,
    /// The socket to its agent.
    pub(crate) agent: Option<OwnedFd>,
}

/// It has not.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// It does not answer.
    Lost(Errno),
    /// It says why.
    Refused(Refusal),
}

impl From<Errno> for NotTaken {
    fn from(errno: Errno) -> Self {
        Self::Lost(errno)
    }
}

/// Init's side: the process behind `socket` becomes the program or command of `plan`.
pub(crate) fn hand_over(
    socket: OwnedFd,
    plan: &Plan,
    stdio: &Stdio,
    console: Option<String>,
) -> Result<Taken, NotTaken> {
    sockopt::set_socket_passcred(&socket, true)?;
    for timeout in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
        sockopt::set_socket_timeout(&socket, timeout, Some(ANSWER_MAX))?;
    }
    send_order(&socket, &Order { plan: plan.clone(), console }, stdio)?;
    let taken = receive_ready(&socket)?;
    let mut answer = Vec::new();
    File::from(socket).take(REFUSAL_MAX_BYTES).read_to_end(&mut answer).map_err(errno_of)?;
    if answer.is_empty() {
        return Ok(taken);
    }
    Err(serde_json::from_slice(&answer).map_or(NotTaken::Lost(Errno::PROTO), NotTaken::Refused))
}

fn send_order(socket: &OwnedFd, order: &Order, stdio: &Stdio) -> Result<(), Errno> {
    let text = serde_json::to_vec(order).map_err(|_an_order_is_text| Errno::INVAL)?;
    let length = u32::try_from(text.len()).map_err(|_too_long| Errno::TOOBIG)?.to_le_bytes();
    let descriptors = stdio.theirs();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(socket, &[IoSlice::new(&length)], &mut control, SendFlags::NOSIGNAL)?;
    let mut left = text.as_slice();
    while !left.is_empty() {
        let n_bytes = rustix::net::send(socket, left, SendFlags::NOSIGNAL)?;
        left = &left[n_bytes..];
    }
    Ok(())
}

fn receive_ready(socket: &OwnedFd) -> Result<Taken, Errno> {
    let mut ready = [0; READY_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    let received =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut ready)], &mut control, flags)?;
    let (mut pid, mut agent) = (None, None);
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmCredentials(credentials) => pid = Some(credentials.pid),
            RecvAncillaryMessage::ScmRights(mut rights) => agent = rights.next(),
            _ => {}
        }
    }
    let [READY, inner_pid @ ..] = ready else {
        return Err(if received.bytes == 0 { Errno::PIPE } else { Errno::PROTO });
    };
    let pid = pid.ok_or(Errno::PROTO)?;
    Ok(Taken { pid, inner_pid: u32::from_le_bytes(inner_pid), agent })
}

/// A plan that has arrived in the other process.
#[derive(Debug)]
pub(crate) struct Received {
    socket: OwnedFd,
    order: Order,
    stdio: [OwnedFd; 3],
}

/// The other process's side: takes a plan.
///
/// # Errors
/// Init is gone.
pub(crate) fn receive(socket: OwnedFd) -> Result<Received, Errno> {
    let (length, stdio) = receive_head(&socket)?;
    let mut text = vec![0; length];
    File::from(rustix::io::fcntl_dupfd_cloexec(&socket, 3)?)
        .read_exact(&mut text)
        .map_err(errno_of)?;
    let order = serde_json::from_slice(&text).map_err(|_no_order| Errno::PROTO)?;
    Ok(Received { socket, order, stdio })
}

fn receive_head(socket: &OwnedFd) -> Result<(usize, [OwnedFd; 3]), Errno> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut length)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_too_long| Errno::TOOBIG)?;
    if length > PLAN_MAX_BYTES {
        return Err(Errno::TOOBIG);
    }
    Ok((length, descriptors.try_into().map_err(|_not_three| Errno::PROTO)?))
}

impl Received {
    /// Becomes what the plan says; returns an exit code only when that failed, and init knows then.
    pub(crate) fn become_it(self, agent: Option<&OwnedFd>) -> u8 {
        if let Some(console) = &self.order.console {
            make_console(console);
        }
        if self.say_ready(agent).is_err() {
            return EXIT_CHANNEL;
        }
        let refusal = sys::spawn::become_program(
            &self.order.plan,
            self.stdio.each_ref().map(|fd| fd.as_fd()),
        );
        self.tell(refusal)
    }

    /// Says that nobody will become it.
    pub(crate) fn refuse(self, refusal: Refusal) -> u8 {
        if self.say_ready(None).is_err() {
            return EXIT_CHANNEL;
        }
        self.tell(refusal)
    }

    fn say_ready(&self, agent: Option<&OwnedFd>) -> Result<(), Errno> {
        let mut ready = [READY; READY_BYTES];
        ready[1..].copy_from_slice(&std::process::id().to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let agent = agent.map(|agent| [agent.as_fd()]);
        if let Some(agent) = &agent {
            control.push(SendAncillaryMessage::ScmRights(agent));
        }
        let flags = SendFlags::NOSIGNAL;
        rustix::net::sendmsg(&self.socket, &[IoSlice::new(&ready)], &mut control, flags).map(drop)
    }

    fn tell(self, refusal: Refusal) -> u8 {
        let text = serde_json::to_vec(&refusal).unwrap_or_default();
        match File::from(self.socket).write_all(&text) {
            Ok(()) | Err(_) => EXIT_SOFTWARE,
        }
    }
}

/// An init writes its log to `/dev/console`. Where the image's `/dev` has none, it gets the
/// program's terminal; without one the init finds another way to log.
fn make_console(terminal: &str) {
    match rustix::fs::symlink(terminal, "/dev/console") {
        Ok(()) | Err(_) => {}
    }
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
