//! Addresses on links.

use crate::error::Result;
use crate::message::{Batch, attribute, u32_at};
use crate::socket::{DUMP, Socket};
use crate::uapi::{
    AF_INET, AF_INET6, AF_UNSPEC, IFA_ADDRESS, IFA_F_NODAD, IFA_F_NOPREFIXROUTE, IFA_FLAGS,
    IFA_LOCAL, NLM_F_CREATE, NLM_F_REPLACE, RT_SCOPE_UNIVERSE, RTM_DELADDR, RTM_GETADDR,
    RTM_NEWADDR,
};
use rustix::io::Errno;
use std::fmt;
use std::net::IpAddr;

/// Bytes of `struct ifaddrmsg`.
const IFADDR_BYTES: usize = 8;

/// An address with the length of its network's prefix in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// The address, host bits included.
    pub addr: IpAddr,
    /// Bits that belong to the network.
    pub len: u8,
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

/// Puts the address on the link, or refreshes it; no duplicate detection, which costs 1.8 s.
pub fn add_address(batch: &mut Batch, index: u32, prefix: Prefix) {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    let doing = fmt::from_fn(move |f| write!(f, "add the address {prefix}"));
    batch.push(RTM_NEWADDR, flags, &[], doing, |body| {
        body.raw(&ifaddr(index, prefix));
        let octets = octets(prefix.addr);
        body.attribute(IFA_LOCAL, &octets);
        body.attribute(IFA_ADDRESS, &octets);
        body.attribute(IFA_FLAGS, &(IFA_F_NODAD | IFA_F_NOPREFIXROUTE).to_ne_bytes());
    });
}

/// Takes the address off the link, if it is there.
pub fn delete_address(batch: &mut Batch, index: u32, prefix: Prefix) {
    let already: &[Errno] = &[Errno::ADDRNOTAVAIL];
    let doing = fmt::from_fn(move |f| write!(f, "delete the address {prefix}"));
    batch.push(RTM_DELADDR, 0, already, doing, |body| {
        body.raw(&ifaddr(index, prefix));
        body.attribute(IFA_LOCAL, &octets(prefix.addr));
    });
}

/// The addresses on the link; on every link of the namespace for `None`.
///
/// # Errors
/// [`crate::Error::Refused`] or [`crate::Error::Answer`].
pub fn addresses_of(socket: &mut Socket, index: Option<u32>) -> Result<Vec<Prefix>> {
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
    Some(Prefix { addr: read_octets(value)?, len: *item.get(1)? })
}

fn ifaddr(index: u32, prefix: Prefix) -> [u8; IFADDR_BYTES] {
    let [i0, i1, i2, i3] = index.to_ne_bytes();
    [family(prefix.addr), prefix.len, 0, RT_SCOPE_UNIVERSE, i0, i1, i2, i3]
}

pub(crate) fn family(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

pub(crate) fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The address in the bytes of an attribute: of either family, as many as it has.
#[must_use]
pub fn read_octets(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(v6)
}
