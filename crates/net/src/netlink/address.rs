//! Addresses on links.

use super::message::{Batch, attribute, u32_at};
use super::socket::{DUMP, Socket};
use super::uapi::{
    AF_INET, AF_INET6, AF_UNSPEC, IFA_ADDRESS, IFA_F_NODAD, IFA_F_NOPREFIXROUTE, IFA_FLAGS,
    IFA_LOCAL, NLM_F_CREATE, NLM_F_REPLACE, RT_SCOPE_UNIVERSE, RTM_DELADDR, RTM_GETADDR,
    RTM_NEWADDR,
};
use crate::error::Result;
use rustix::io::Errno;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of `struct ifaddrmsg`.
const IFADDR_BYTES: usize = 8;

/// An address with the length of its network's prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix {
    /// The address, host bits included.
    pub(crate) addr: IpAddr,
    /// Bits that belong to the network.
    pub(crate) len: u8,
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

/// Puts the address on the link, or refreshes it; no duplicate detection, which costs 1.8 s.
pub(crate) fn add_address(batch: &mut Batch, index: u32, prefix: Prefix) {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    batch.push(RTM_NEWADDR, flags, &[], format!("add the address {prefix}"), |body| {
        body.raw(&ifaddr(index, prefix));
        let octets = octets(prefix.addr);
        body.attribute(IFA_LOCAL, &octets);
        body.attribute(IFA_ADDRESS, &octets);
        body.attribute(IFA_FLAGS, &(IFA_F_NODAD | IFA_F_NOPREFIXROUTE).to_ne_bytes());
    });
}

/// Takes the address off the link, if it is there.
pub(crate) fn delete_address(batch: &mut Batch, index: u32, prefix: Prefix) {
    let already: &[Errno] = &[Errno::ADDRNOTAVAIL];
    batch.push(RTM_DELADDR, 0, already, format!("delete the address {prefix}"), |body| {
        body.raw(&ifaddr(index, prefix));
        body.attribute(IFA_LOCAL, &octets(prefix.addr));
    });
}

/// The addresses on the link; on every link of the namespace for `None`.
pub(crate) fn addresses_of(socket: &mut Socket, index: Option<u32>) -> Result<Vec<Prefix>> {
    let mut batch = Batch::new();
    batch.push(RTM_GETADDR, DUMP, &[], "list addresses".to_owned(), |body| {
        body.raw(&[AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0]);
    });
    let mut found = Vec::new();
    socket.dump(batch, |item| {
        if index.is_none_or(|index| u32_at(item, 4) == Some(index)) {
            found.extend(read_address(item));
        }
    })?;
    Ok(found)
}

fn read_address(item: &[u8]) -> Option<Prefix> {
    let attributes = item.get(IFADDR_BYTES..)?;
    let value = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
    let addr = match value.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?)),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?)),
    };
    Some(Prefix { addr, len: *item.get(1)? })
}

fn ifaddr(index: u32, prefix: Prefix) -> [u8; IFADDR_BYTES] {
    let [i0, i1, i2, i3] = index.to_ne_bytes();
    [family(prefix.addr), prefix.len, 0, RT_SCOPE_UNIVERSE, i0, i1, i2, i3]
}

pub(super) fn family(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

pub(super) fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
