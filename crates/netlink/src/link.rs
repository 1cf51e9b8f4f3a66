//! Links: pairs of virtual Ethernet devices, taps, up, gone.

use crate::error::Result;
use crate::message::{Batch, Body, attribute, u32_at};
use crate::socket::{DUMP, Socket};
use crate::uapi::{
    AF_INET6, AF_UNSPEC, IFF_NOARP, IFF_UP, IFLA_ADDRESS, IFLA_AF_SPEC, IFLA_EXT_MASK, IFLA_IFNAME,
    IFLA_INET6_ADDR_GEN_MODE, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO, IFLA_NET_NS_FD,
    IN6_ADDR_GEN_MODE_NONE, NLM_F_CREATE, NLM_F_EXCL, RTEXT_FILTER_SKIP_STATS, RTM_DELLINK,
    RTM_GETLINK, RTM_NEWLINK, VETH_INFO_PEER,
};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes of `struct ifinfomsg`.
const IFINFO_BYTES: usize = 16;

/// A link of the socket's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Number of the link in its namespace.
    pub index: u32,
    /// Whether it was set up.
    pub is_up: bool,
    /// Whether it is a tap or its like, made through `/dev/net/tun`.
    pub is_tap: bool,
}

/// A point-to-point pair to be made: one end here, one in another namespace.
#[derive(Clone, Copy, Debug)]
pub struct VethPair<'a> {
    /// Name of the end in the socket's namespace.
    pub name: &'a str,
    /// Name of the end in `peer_netns`.
    pub peer_name: &'a str,
    /// Where the other end lives.
    pub peer_netns: BorrowedFd<'a>,
    /// The hardware address of *both* ends.
    ///
    /// The links carry no ARP and no neighbour discovery: the kernel fills in the sender's own
    /// address as the destination, and equal addresses make that right. No neighbour entry ever
    /// has to be set, learnt or defended.
    pub mac: [u8; 6],
}

/// Makes a pair; both ends are down.
pub fn add_veth(batch: &mut Batch, pair: &VethPair<'_>) {
    let doing = format!("make the link {}", pair.name);
    batch.push(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &[], doing, |body| {
        veth_end(body, pair.name, pair.mac);
        body.nest(IFLA_LINKINFO, |info| {
            info.attribute(IFLA_INFO_KIND, b"veth");
            info.nest(IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |peer| {
                    veth_end(peer, pair.peer_name, pair.mac);
                    peer.attribute(IFLA_NET_NS_FD, &pair.peer_netns.as_raw_fd().to_ne_bytes());
                });
            });
        });
    });
}

fn veth_end(body: &mut Body<'_>, name: &str, mac: [u8; 6]) {
    body.raw(&ifinfo(0, IFF_NOARP, IFF_NOARP));
    body.attribute(IFLA_IFNAME, &zero_ended(name));
    body.attribute(IFLA_ADDRESS, &mac);
}

/// Makes a link that was made otherwise like an end of a [`VethPair`]: the hardware address of both
/// ends, and nobody asks for neighbours.
pub fn set_hardware(batch: &mut Batch, name: &str, index: u32, mac: [u8; 6]) {
    batch.push(RTM_NEWLINK, 0, &[], format!("set the hardware address of {name}"), |body| {
        body.raw(&ifinfo(index, IFF_NOARP, IFF_NOARP));
        body.attribute(IFLA_ADDRESS, &mac);
    });
}

/// Has nobody asked for neighbours on the link: as on an end of a [`VethPair`], what is sent goes to the
/// link's own hardware address.
pub fn set_no_arp(batch: &mut Batch, name: &str, index: u32) {
    let doing = format!("have nobody asked for neighbours of {name}");
    batch.push(RTM_NEWLINK, 0, &[], doing, |body| {
        body.raw(&ifinfo(index, IFF_NOARP, IFF_NOARP));
    });
}

/// Sets the link up, without a link-local IPv6 address of its own.
pub fn set_up(batch: &mut Batch, name: &str, index: u32) {
    batch.push(RTM_NEWLINK, 0, &[], format!("configure the link {name}"), |body| {
        body.raw(&ifinfo(index, 0, 0));
        body.nest(IFLA_AF_SPEC, |families| {
            families.nest(u16::from(AF_INET6), |v6| {
                v6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
            });
        });
    });
    batch.push(RTM_NEWLINK, 0, &[], format!("set the link {name} up"), |body| {
        body.raw(&ifinfo(index, IFF_UP, IFF_UP));
    });
}

/// Sets the link down; its routes and IPv6 addresses go.
pub fn set_down(batch: &mut Batch, name: &str, index: u32) {
    batch.push(RTM_NEWLINK, 0, &[], format!("set the link {name} down"), |body| {
        body.raw(&ifinfo(index, 0, IFF_UP));
    });
}

/// Deletes the link, if it is there.
pub fn delete_link(batch: &mut Batch, name: &str) {
    let already: &[Errno] = &[Errno::NODEV];
    batch.push(RTM_DELLINK, 0, already, format!("delete the link {name}"), |body| {
        body.raw(&ifinfo(0, 0, 0));
        body.attribute(IFLA_IFNAME, &zero_ended(name));
    });
}

/// The link of this name; `None` when there is none.
///
/// # Errors
/// [`crate::Error::Refused`] or [`crate::Error::Answer`].
pub fn link_named(socket: &mut Socket, name: &str) -> Result<Option<Link>> {
    let mut batch = Batch::new();
    batch.push(RTM_GETLINK, 0, &[Errno::NODEV], format!("find the link {name}"), |body| {
        body.raw(&ifinfo(0, 0, 0));
        body.attribute(IFLA_IFNAME, &zero_ended(name));
    });
    socket.ask(batch, |answer| {
        let attributes = answer.get(IFINFO_BYTES..)?;
        attribute(attributes, IFLA_IFNAME)?;
        Some(Link {
            index: u32_at(answer, 4)?,
            is_up: u32_at(answer, 8)? & IFF_UP != 0,
            is_tap: attribute(attributes, IFLA_LINKINFO)
                .and_then(|info| attribute(info, IFLA_INFO_KIND))
                .is_some_and(|kind| kind == b"tun\0"),
        })
    })
}

/// The names of all links.
///
/// # Errors
/// [`crate::Error::Refused`] or [`crate::Error::Answer`].
pub fn link_names(socket: &mut Socket) -> Result<Vec<String>> {
    let mut batch = Batch::new();
    batch.push(RTM_GETLINK, DUMP, &[], "list links".to_owned(), |body| {
        body.raw(&ifinfo(0, 0, 0));
        body.attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    });
    let mut names = Vec::new();
    socket.dump(batch, |item| names.extend(item.get(IFINFO_BYTES..).and_then(read_name)))?;
    Ok(names)
}

fn read_name(attributes: &[u8]) -> Option<String> {
    let name = attribute(attributes, IFLA_IFNAME)?;
    std::str::from_utf8(name.strip_suffix(&[0])?).ok().map(str::to_owned)
}

fn ifinfo(index: u32, flags: u32, change: u32) -> [u8; IFINFO_BYTES] {
    let mut header = [0; IFINFO_BYTES];
    header[0] = AF_UNSPEC;
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

fn zero_ended(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}
