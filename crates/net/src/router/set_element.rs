//! Elements of `nftables` sets that end by themselves: the one change of rules that is too frequent
//! for a run of `nft`.
//!
//! Source: `linux/netfilter/nfnetlink.h`, `linux/netfilter/nf_tables.h`.

use netlink::{Batch, Body, CREATE};
use rustix::io::Errno;
use std::time::Duration;

const NFPROTO_INET: u8 = 1;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFT_MSG_NEWSETELEM: u16 = (NFNL_SUBSYS_NFTABLES << 8) | 12;
const NFT_MSG_DELSETELEM: u16 = (NFNL_SUBSYS_NFTABLES << 8) | 14;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_TIMEOUT: u16 = 4;
const NFTA_DATA_VALUE: u16 = 1;

/// An element: its key as the kernel compares it, each part padded to four bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// The key.
    pub(super) key: Vec<u8>,
    /// How long it lives from now on.
    pub(super) timeout: Duration,
}

/// Puts the elements into the set, in one step; those that are there begin to live anew.
///
/// A set that does not exist is passed over. Kernels before 6.12 keep the old timeout of an
/// element that is added again, so each one is added, deleted and added: others see the last.
pub(super) fn renew_elements(batch: &mut Batch, table: &str, set: &str, elements: &[Element]) {
    let already: &[Errno] = &[Errno::NOENT];
    for kind in [NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM] {
        let flags = if kind == NFT_MSG_NEWSETELEM { CREATE } else { 0 };
        batch.push(kind, flags, already, format!("renew elements of `{set}`"), |body| {
            body.raw(&generic(NFPROTO_INET, 0));
            body.attribute(NFTA_SET_ELEM_LIST_TABLE, &zero_ended(table));
            body.attribute(NFTA_SET_ELEM_LIST_SET, &zero_ended(set));
            body.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                elements.iter().for_each(|element| write(list, element));
            });
        });
    }
}

/// Opens a transaction of rules: what follows is carried out at once, or not at all.
pub(super) fn begin_transaction(batch: &mut Batch) {
    batch.push_unanswered(NFNL_MSG_BATCH_BEGIN, |body| {
        body.raw(&generic(0, NFNL_SUBSYS_NFTABLES));
    });
}

/// Ends the transaction.
pub(super) fn end_transaction(batch: &mut Batch) {
    batch.push_unanswered(NFNL_MSG_BATCH_END, |body| {
        body.raw(&generic(0, NFNL_SUBSYS_NFTABLES));
    });
}

fn write(list: &mut Body<'_>, element: &Element) {
    let timeout_ms = u64::try_from(element.timeout.as_millis()).unwrap_or(u64::MAX);
    list.nest(NFTA_LIST_ELEM, |body| {
        body.nest(NFTA_SET_ELEM_KEY, |key| key.attribute(NFTA_DATA_VALUE, &element.key));
        body.attribute(NFTA_SET_ELEM_TIMEOUT, &timeout_ms.to_be_bytes());
    });
}

/// `struct nfgenmsg`.
fn generic(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn zero_ended(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}
