//! The loopback interface, which a kernel has switched off.
//!
//! Source: `rtnetlink(7)`.

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

/// `RTM_NEWLINK` of `linux/rtnetlink.h`.
const NEW_LINK: u16 = 16;

/// `NLM_F_REQUEST | NLM_F_ACK` of `linux/netlink.h`.
const REQUEST_ACK: u16 = 0x1 | 0x4;

/// Bytes of `struct nlmsghdr`, and of it with `struct ifinfomsg`.
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: u8 = 32;

/// Number of the loopback interface: the first that each network has.
const LOOPBACK: u32 = 1;

/// `IFF_UP` of `net/if.h`.
const UP: u32 = 1;

/// Switches it on.
pub(super) fn up() -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC;
    // No protocol is the first, `NETLINK_ROUTE`.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, None)?;
    sendto(&socket, &request(), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 256];
    // The kernel has answered within the call that asks.
    let (_, n_bytes) = recv(&socket, &mut answer, RecvFlags::DONTWAIT)?;
    let code = answer.get(..n_bytes).and_then(|answer| answer.get(HEADER_BYTES..)?.first_chunk());
    match code.map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw_os_error(code.saturating_neg())),
        None => Err(Errno::BADMSG),
    }
}

fn request() -> [u8; REQUEST_BYTES as usize] {
    let mut request = [0; REQUEST_BYTES as usize];
    let mut put = |at: usize, bytes: &[u8]| request[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &u32::from(REQUEST_BYTES).to_ne_bytes());
    put(4, &NEW_LINK.to_ne_bytes());
    put(6, &REQUEST_ACK.to_ne_bytes());
    put(HEADER_BYTES + 4, &LOOPBACK.to_ne_bytes());
    put(HEADER_BYTES + 8, &UP.to_ne_bytes());
    put(HEADER_BYTES + 12, &UP.to_ne_bytes());
    request
}
