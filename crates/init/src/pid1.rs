//! Programs that are themselves an init: they become PID 1 of a child namespace.
//!
//! Init may not make namespaces, so the launcher makes a second process ahead of time, in its own
//! pid, cgroup and mount namespace, a child of init. It runs this binary as `dormouse-init pid1`
//! and waits on a socket (its fd 3) whose other end init holds:
//!
//! ```text
//! init → it    length u32 LE with three descriptors (stdin, stdout, stderr), then Order as JSON
//! it → init    one byte; the kernel adds the sender's pid as init sees it
//!              then nothing and end of file: the program runs in its place
//!              or the refusal as JSON and end of file
//! ```

use crate::EXIT_SOFTWARE;
use crate::arguments::CHANNEL_FD;
use crate::plan::{Plan, Refusal};
use crate::start_error::StartError;
use crate::stdio::Stdio;
use crate::sys;
use guest_proto::message::{ORDERS_MAX_BYTES, StartFailure};
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
use std::process::ExitCode;
use std::time::Duration;

/// Longest wait for the other side, which has nothing to do but answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A plan is the orders and what was looked up.
const PLAN_MAX_BYTES: usize = 2 * ORDERS_MAX_BYTES;

/// Says that the plan has arrived, and carries the pid.
const READY: u8 = b'R';

/// What the waiting process shall become.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    plan: Plan,
    /// Path of the terminal behind its standard streams.
    terminal: Option<String>,
}

/// Init's side: the waiting process becomes the program of `plan`. Returns its pid.
pub(crate) fn hand_over(socket: OwnedFd, plan: &Plan, stdio: &Stdio) -> Result<Pid, StartError> {
    let lost = |error| StartError::other("reach the process that becomes PID 1", error);
    sockopt::set_socket_passcred(&socket, true).map_err(lost)?;
    for timeout in [sockopt::Timeout::Recv, sockopt::Timeout::Send] {
        sockopt::set_socket_timeout(&socket, timeout, Some(ANSWER_MAX)).map_err(lost)?;
    }
    send_plan(&socket, plan, stdio).map_err(lost)?;
    let pid = receive_ready(&socket).map_err(lost)?;
    let mut answer = Vec::new();
    File::from(socket)
        .take(REFUSAL_MAX_BYTES)
        .read_to_end(&mut answer)
        .map_err(|error| lost(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    if answer.is_empty() {
        return Ok(pid);
    }
    let refusal: Refusal = serde_json::from_slice(&answer)
        .map_err(|error| StartError::new(StartFailure::Other, error.to_string()))?;
    Err(plan.explain(refusal))
}

/// A refusal is two short words.
const REFUSAL_MAX_BYTES: u64 = 256;

fn send_plan(socket: &OwnedFd, plan: &Plan, stdio: &Stdio) -> Result<(), Errno> {
    let order = Order { plan: plan.clone(), terminal: stdio.terminal_path() };
    let text = serde_json::to_vec(&order).map_err(|_an_order_is_text| Errno::INVAL)?;
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

fn receive_ready(socket: &OwnedFd) -> Result<Pid, Errno> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let pid = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(credentials) => Some(credentials.pid),
        _ => None,
    });
    pid.filter(|_| byte == [READY]).ok_or(Errno::PROTO)
}

/// The waiting process's side: becomes the program, or says why not.
pub(crate) fn become_program() -> ExitCode {
    let Ok(socket) = sys::take_inherited(CHANNEL_FD) else {
        return ExitCode::from(crate::EXIT_CHANNEL);
    };
    match receive_and_become(&socket) {
        Ok(refusal) => {
            let text = serde_json::to_vec(&refusal).unwrap_or_default();
            match File::from(socket).write_all(&text) {
                Ok(()) | Err(_) => ExitCode::from(EXIT_SOFTWARE),
            }
        }
        Err(_lost) => ExitCode::from(crate::EXIT_CHANNEL),
    }
}

fn receive_and_become(socket: &OwnedFd) -> Result<Refusal, Errno> {
    let (length, stdio) = receive_head(socket)?;
    let mut text = vec![0; length];
    File::from(rustix::io::fcntl_dupfd_cloexec(socket, 3)?)
        .read_exact(&mut text)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let Order { plan, terminal } =
        serde_json::from_slice(&text).map_err(|_no_order| Errno::PROTO)?;
    if let Some(terminal) = terminal {
        make_console(&terminal);
    }
    rustix::net::send(socket, &[READY], SendFlags::NOSIGNAL)?;
    Ok(sys::spawn::become_program(&plan, [stdio[0].as_fd(), stdio[1].as_fd(), stdio[2].as_fd()]))
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

/// An init writes its log to `/dev/console`. Where the image's `/dev` has none, it gets the
/// program's terminal; without one the init finds another way to log.
fn make_console(terminal: &str) {
    match rustix::fs::symlink(terminal, "/dev/console") {
        Ok(()) | Err(_) => {}
    }
}
