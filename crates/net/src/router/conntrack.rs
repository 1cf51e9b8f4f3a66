//! The connections that the kernel tracks in a network namespace.
//!
//! Source: `linux/netfilter/nfnetlink.h`, `linux/netfilter/nfnetlink_conntrack.h`,
//! `linux/netfilter/nf_conntrack_common.h`, `linux/netfilter/nf_conntrack_tcp.h`.

use crate::error::Result;
use netlink::{Batch, DUMP, Socket, attribute, read_octets};
use std::net::IpAddr;

const AF_UNSPEC: u8 = 0;
const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_GET: u16 = (NFNL_SUBSYS_CTNETLINK << 8) | 1;
/// Bytes of `struct nfgenmsg`, with which each item begins.
const GENERIC_BYTES: usize = 4;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_STATUS: u16 = 3;
const CTA_PROTOINFO: u16 = 4;
const CTA_COUNTERS_ORIG: u16 = 9;
const CTA_COUNTERS_REPLY: u16 = 10;
const CTA_ID: u16 = 12;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
/// Source and destination, of IPv4 and of IPv6.
const CTA_IP_ENDS: [(u16, u16); 2] = [(1, 2), (3, 4)];
const CTA_PROTO_NUM: u16 = 1;
const CTA_COUNTERS_BYTES: u16 = 2;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;

const IPPROTO_TCP: u8 = 6;
/// `IPS_SEEN_REPLY`: both sides have sent something.
const SEEN_REPLY: u32 = 1 << 1;
/// `TCP_CONNTRACK_ESTABLISHED`, `…_FIN_WAIT`, `…_CLOSE_WAIT`: bytes may still come, one way at least.
const TCP_OPEN: std::ops::RangeInclusive<u8> = 3..=5;

/// One connection, or exchange of datagrams, as the kernel tracks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Of all flows that exist at a time no two have the same.
    pub id: u32,
    /// Who began it.
    pub from: IpAddr,
    /// With whom.
    pub to: IpAddr,
    /// Both sides have spoken, and neither way is closed for good.
    pub is_open: bool,
    /// Bytes so far, both ways, headers included; `None`: it began before they were counted.
    pub bytes: Option<u64>,
}

/// All flows of the socket's network namespace. The socket is one for rules.
pub(super) fn flows(socket: &mut Socket) -> Result<Vec<Flow>> {
    let mut batch = Batch::new();
    batch.push(IPCTNL_MSG_CT_GET, DUMP, &[], "list connections".to_owned(), |body| {
        body.raw(&[AF_UNSPEC, 0, 0, 0]);
    });
    let mut flows = Vec::new();
    socket.dump(batch, |item| flows.extend(item.get(GENERIC_BYTES..).and_then(read)))?;
    Ok(flows)
}

fn read(item: &[u8]) -> Option<Flow> {
    let origin = attribute(item, CTA_TUPLE_ORIG)?;
    let addresses = attribute(origin, CTA_TUPLE_IP)?;
    let both = |(from, to)| {
        Some((read_octets(attribute(addresses, from)?)?, read_octets(attribute(addresses, to)?)?))
    };
    let (from, to) = CTA_IP_ENDS.into_iter().find_map(both)?;
    let protocol = attribute(origin, CTA_TUPLE_PROTO)
        .and_then(|proto| attribute(proto, CTA_PROTO_NUM))
        .and_then(|number| number.first().copied());
    let is_answered = u32_be(attribute(item, CTA_STATUS)?)? & SEEN_REPLY != 0;
    let bytes = |counters| u64_be(attribute(attribute(item, counters)?, CTA_COUNTERS_BYTES)?);
    Some(Flow {
        id: u32_be(attribute(item, CTA_ID)?)?,
        from,
        to,
        is_open: is_answered && (protocol != Some(IPPROTO_TCP) || is_tcp_open(item)),
        bytes: bytes(CTA_COUNTERS_ORIG)
            .and_then(|sent| Some(sent.saturating_add(bytes(CTA_COUNTERS_REPLY)?))),
    })
}

fn is_tcp_open(item: &[u8]) -> bool {
    let state = attribute(item, CTA_PROTOINFO)
        .and_then(|info| attribute(info, CTA_PROTOINFO_TCP))
        .and_then(|tcp| attribute(tcp, CTA_PROTOINFO_TCP_STATE))
        .and_then(|state| state.first());
    state.is_some_and(|state| TCP_OPEN.contains(state))
}

fn u32_be(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn u64_be(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}
