//! Neighbours: who has which hardware address on a link.

use crate::address::{family, octets};
use crate::message::Batch;
use crate::uapi::{NDA_DST, NDA_LLADDR, NLM_F_CREATE, NLM_F_REPLACE, NUD_PERMANENT, RTM_NEWNEIGH};
use std::net::IpAddr;

/// Tells the link for good who has the address, so that it never has to ask.
pub fn add_neighbour(batch: &mut Batch, index: u32, addr: IpAddr, mac: [u8; 6]) {
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    batch.push(RTM_NEWNEIGH, flags, &[], format!("add the neighbour {addr}"), |body| {
        let [i0, i1, i2, i3] = index.to_ne_bytes();
        let [s0, s1] = NUD_PERMANENT.to_ne_bytes();
        // `struct ndmsg`: family, link, state, flags, kind.
        body.raw(&[family(addr), 0, 0, 0, i0, i1, i2, i3, s0, s1, 0, 0]);
        body.attribute(NDA_DST, &octets(addr));
        body.attribute(NDA_LLADDR, &mac);
    });
}
