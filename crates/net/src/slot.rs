//! Slots: the places that machines run in.
//!
//! A slot is a user namespace, a network namespace that it owns, and a link from there to the
//! router. Making one takes milliseconds and deleting one up to 60, so slots are made ahead, pinned,
//! pooled and used again and again by different machines; only addresses and routes change, which
//! takes a fraction of a millisecond.
//!
//! ```text
//! slot namespace                                   router namespace
//! eth0  machine's /112 and /32  ─────────────────  dm<inst>-<slot>  routes to the /112 and /32
//! default routes to the router                     no address of its own
//! ```
//!
//! * [`SlotPool`] decides which slot is free, made or gone.
//! * [`Slot`] is one slot in use; the one who holds it may change its addresses.
//! * [`hold_main`] is the other side of making one: a process with a single thread.
//!
//! A virtual machine has no use for namespaces and gets a [tap](crate::tap) instead, under a number
//! of the same pool.

mod assign;
mod hold;
mod make;
mod pool;
mod tcp;

pub(crate) use assign::{destination, lead_away, lead_here, prefixes};
pub use hold::{HOLD_ARGUMENT, hold_main};
pub use pool::{PoolConfig, PoolStats, SlotPool};

use crate::addr::MachineAddrs;
use model::{InstanceTag, SlotId};
use netlink::{Prefix, Socket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most slots of one instance: machines running at the same time.
///
/// 4,096 user namespaces of 65,536 ids end at id 0x3000_0000, far below the 32-bit limit, and the
/// longest link name, `dm` + 5 + `-` + 4 characters, fits the kernel's 15.
pub const MAX_SLOTS: u16 = 4096;
/// First host id of the first slot's user namespace.
pub const FIRST_HOST_ID: u32 = 0x2000_0000;
/// User and group ids of one slot: all a 16-bit world knows.
pub const IDS_PER_SLOT: u32 = 65_536;
/// Name of the link inside a slot.
pub const GUEST_LINK: &str = "eth0";

/// A slot that its holder alone may change.
///
/// Dropping it closes the descriptors; the pinned slot stays and can be adopted again.
#[derive(Debug)]
pub struct Slot {
    id: SlotId,
    link_name: String,
    netns: OwnedFd,
    userns: OwnedFd,
    /// Netlink socket inside the slot.
    socket: Socket,
    /// Number of the link in the router.
    router_index: u32,
    /// Number of [`GUEST_LINK`] in the slot.
    guest_index: u32,
    /// What the slot's link carries, as read from the kernel or set since.
    carried: Vec<Prefix>,
}

impl Slot {
    /// Which slot this is.
    #[must_use]
    pub fn id(&self) -> SlotId {
        self.id
    }

    /// Name of the router's end of the link.
    #[must_use]
    pub fn link_name(&self) -> &str {
        &self.link_name
    }

    /// The network namespace, to be joined by the machine.
    #[must_use]
    pub fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// The user namespace that owns the network namespace, to be joined by the machine.
    #[must_use]
    pub fn userns(&self) -> BorrowedFd<'_> {
        self.userns.as_fd()
    }

    /// Whether the slot's link carries exactly these addresses.
    #[must_use]
    pub fn carries(&self, addrs: &MachineAddrs) -> bool {
        let wanted = assign::prefixes(addrs);
        self.carried.len() == wanted.len() && wanted.iter().all(|p| self.carried.contains(p))
    }
}

/// The first host id (user and group alike) of a slot's [`IDS_PER_SLOT`] ids.
#[must_use]
pub fn host_id_base(slot: SlotId) -> u32 {
    FIRST_HOST_ID + u32::from(slot.0) * IDS_PER_SLOT
}

/// Name of the router's end of a slot's link.
#[must_use]
pub fn link_name(tag: &InstanceTag, slot: SlotId) -> String {
    format!("dm{tag}-{slot}")
}

/// The number in a [`link_name`]; `None` for any other link.
fn number_in(tag: &InstanceTag, name: &str) -> Option<SlotId> {
    let slot = name.rsplit_once('-')?.1.parse().ok().map(SlotId)?;
    (link_name(tag, slot) == name).then_some(slot)
}
