//! Packets written by hand. Source: RFC 791 (IPv4), RFC 768 (UDP), packet(7), raw(7).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

const IPV4_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
const UDP: u8 = 17;
const TTL: u8 = 64;

/// `ETH_P_IP`.
const ETHERNET_IPV4: u16 = 0x0800;

/// An IPv4 packet with a datagram in it.
pub(super) fn datagram(source: Ipv4Addr, to: Ipv4Addr, port: u16, text: &[u8]) -> Vec<u8> {
    let udp_bytes = length(UDP_HEADER_BYTES + text.len());
    let total_bytes = length(IPV4_HEADER_BYTES + UDP_HEADER_BYTES + text.len());
    let mut packet = vec![0x45, 0];
    packet.extend(total_bytes);
    packet.extend([0, 0, 0, 0, TTL, UDP, 0, 0]);
    packet.extend(source.octets());
    packet.extend(to.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    packet.extend(port.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend(udp_bytes);
    // A datagram may go without a checksum of its own.
    packet.extend([0, 0]);
    packet.extend(text);
    packet
}

fn length(n_bytes: usize) -> [u8; 2] {
    u16::try_from(n_bytes).unwrap_or(u16::MAX).to_be_bytes()
}

fn checksum(header: &[u8]) -> [u8; 2] {
    let sum: u32 =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX);
    (!folded).to_be_bytes()
}

/// Sends a packet with its header through the routing.
#[allow(unsafe_code, reason = "std has no raw sockets")]
pub(super) fn send_raw(packet: &[u8], to: Ipv4Addr) -> io::Result<()> {
    let socket = open_socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
    // SAFETY: all fields are numbers.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = family(libc::AF_INET);
    address.sin_addr.s_addr = u32::from_ne_bytes(to.octets());
    send(&socket, packet, &address)
}

/// Sends a packet out of `eth0` as it is, to the link's other end.
#[allow(unsafe_code, reason = "std has no packet sockets")]
pub(super) fn send_frame(packet: &[u8], _to: Ipv4Addr) -> io::Result<()> {
    let socket = open_socket(libc::AF_PACKET, libc::SOCK_DGRAM, 0)?;
    // SAFETY: all fields are numbers.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = family(libc::AF_PACKET);
    address.sll_protocol = ETHERNET_IPV4.to_be();
    let router = router_mac()?;
    address.sll_halen = 6;
    address.sll_addr[..6].copy_from_slice(&router);
    // SAFETY: the name ends with a zero.
    let link = unsafe { libc::if_nametoindex(c"eth0".as_ptr()) };
    address.sll_ifindex = i32::try_from(link).map_err(io::Error::other)?;
    send(&socket, packet, &address)
}

/// Hardware address of the link's other end: on a link without address resolution both ends have
/// the same.
fn router_mac() -> io::Result<[u8; 6]> {
    let text = std::fs::read_to_string("/sys/class/net/eth0/address")?;
    let bytes: Result<Vec<u8>, _> =
        text.trim().split(':').map(|digits| u8::from_str_radix(digits, 16)).collect();
    let bytes = bytes.map_err(io::Error::other)?;
    bytes.try_into().map_err(|_bytes| io::ErrorKind::InvalidData.into())
}

#[allow(unsafe_code, reason = "std has no such sockets")]
fn open_socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: it takes three numbers.
    match unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just made it for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

#[allow(unsafe_code, reason = "std has no such addresses")]
fn send<A>(socket: &OwnedFd, packet: &[u8], address: &A) -> io::Result<()> {
    let address_bytes = u32::try_from(size_of::<A>()).map_err(io::Error::other)?;
    // SAFETY: both pointers lead to as many bytes as is said, and the kernel keeps neither.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            std::ptr::from_ref(address).cast(),
            address_bytes,
        )
    };
    if sent == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn family(number: i32) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}
