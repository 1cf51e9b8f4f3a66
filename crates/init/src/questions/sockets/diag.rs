//! From the kernel's socket diagnostics (`sock_diag(7)`): only sockets in the state that is asked
//! for, so that a look costs tens of microseconds wherever it is made.

use super::{Found, Kind, SOCKETS_MAX};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;

/// `NLM_F_REQUEST | NLM_F_DUMP` of `linux/netlink.h`.
const REQUEST_DUMP: u16 = 0x1 | 0x300;

/// `NLMSG_ERROR` and `NLMSG_DONE` of `linux/netlink.h`.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Bytes of `struct nlmsghdr`, `struct inet_diag_req_v2` and `struct inet_diag_msg`.
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: u8 = 16 + 56;
const SOCKET_BYTES: usize = 72;

/// Of `sys/socket.h` and `netinet/in.h`, in one byte each.
const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// States of `net/tcp_states.h`: a listening TCP socket, and a UDP socket that is not connected.
const TCP_LISTEN: u32 = 10;
const UDP_UNCONNECTED: u32 = 7;

/// Room for one answer of a dump: the kernel sends at most 32 KiB at a time.
const ANSWER_BYTES: usize = 32 * 1024;

/// Most answers read: each holds at least one socket.
const ANSWERS_MAX: usize = SOCKETS_MAX;

/// The kernel answers a dump within the call that asks; this only keeps PID 1 from waiting forever.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The listening sockets of this kind. Each question has a socket of its own: what is left of answers
/// that were given up goes with it.
///
/// # Errors
/// The kernel has no such interface, or says something that is not its protocol.
pub(super) fn find(kind: Kind) -> Result<Vec<Found>, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG))?;
    sendto(&socket, &request(kind), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut found = Vec::new();
    let mut buffer = vec![0; ANSWER_BYTES];
    for _ in 0..ANSWERS_MAX {
        let mut readable = [PollFd::new(&socket, PollFlags::IN)];
        if poll(&mut readable, Some(&PATIENCE))? == 0 {
            return Err(Errno::TIMEDOUT);
        }
        let (_, n_bytes) = recv(&socket, &mut *buffer, RecvFlags::empty())?;
        if take_answer(kind, buffer.get(..n_bytes).ok_or(Errno::MSGSIZE)?, &mut found)? {
            return Ok(found);
        }
    }
    Err(Errno::OVERFLOW)
}

fn request(kind: Kind) -> [u8; REQUEST_BYTES as usize] {
    let (family, protocol, state) = match kind {
        Kind::Tcp4 => (INET, TCP, TCP_LISTEN),
        Kind::Tcp6 => (INET6, TCP, TCP_LISTEN),
        Kind::Udp4 => (INET, UDP, UDP_UNCONNECTED),
        Kind::Udp6 => (INET6, UDP, UDP_UNCONNECTED),
    };
    let mut request = [0; REQUEST_BYTES as usize];
    request[..4].copy_from_slice(&u32::from(REQUEST_BYTES).to_ne_bytes());
    request[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&REQUEST_DUMP.to_ne_bytes());
    request[HEADER_BYTES] = family;
    request[HEADER_BYTES + 1] = protocol;
    request[HEADER_BYTES + 4..HEADER_BYTES + 8].copy_from_slice(&(1_u32 << state).to_ne_bytes());
    request
}

/// Takes the messages of one answer; whether it was the last.
fn take_answer(kind: Kind, mut answer: &[u8], found: &mut Vec<Found>) -> Result<bool, Errno> {
    while let Some((header, _)) = answer.split_first_chunk::<HEADER_BYTES>() {
        let n_bytes = u32_at(header, 0).ok_or(Errno::BADMSG)? as usize;
        let message = answer.get(HEADER_BYTES..n_bytes).ok_or(Errno::BADMSG)?;
        match u16_at(header, 4).ok_or(Errno::BADMSG)? {
            DONE => return Ok(true),
            ERROR => {
                let code = u32_at(message, 0).ok_or(Errno::BADMSG)?.cast_signed();
                return Err(Errno::from_raw_os_error(code.saturating_neg()));
            }
            BY_FAMILY => found.push(read(kind, message).ok_or(Errno::BADMSG)?),
            _other => {}
        }
        answer = answer.get(n_bytes.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// `struct inet_diag_msg`: port at 4, address at 8, inode at 68.
fn read(kind: Kind, message: &[u8]) -> Option<Found> {
    let message: &[u8; SOCKET_BYTES] = message.first_chunk()?;
    let port = u16::from_be_bytes([message[4], message[5]]);
    let address: IpAddr = match kind {
        Kind::Tcp4 | Kind::Udp4 => Ipv4Addr::from(*message[8..].first_chunk::<4>()?).into(),
        Kind::Tcp6 | Kind::Udp6 => Ipv6Addr::from(*message[8..].first_chunk::<16>()?).into(),
    };
    Some(Found {
        kind,
        address: SocketAddr::new(address, port),
        inode: u32_at(message, 68)?.into(),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_ne_bytes(*four))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_ne_bytes(*two))
}
