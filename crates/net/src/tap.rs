//! Taps: the places of virtual machines.
//!
//! A virtual machine brings its own kernel and needs no namespaces, only the other end of a link. A
//! tap is a link of the router whose other end is an open file, its *queue*: what the router sends
//! is read there, what is written there the router receives. A virtual machine monitor holds the
//! queue and hands the frames to the guest, which has the machine's addresses itself.
//!
//! ```text
//! guest                          monitor              router namespace
//! its link   the machine's   ─── network card ═ queue ═ dm<inst>-<slot>  routes to the /112 and /32
//!            /112 and /32, routes to the router                          no address of its own
//! ```
//!
//! To the router it is a link like a slot's, under a number of the same pool and with the same kind
//! of name, and every rule holds for it: a forged source has no way back through this link and is
//! dropped. As with slots there are no neighbours to ask for, learn or defend. Both ends have the
//! hardware address [`MAC`], and the router sends each frame to its own, so any address of the
//! machine's /112 is reached without an entry for it.
//!
//! A slot is used again, a tap is not: whoever holds the queue may change the link (its hardware
//! address, filters, the form of frames, who may open it, whether it persists), and some of that
//! would be met by the next machine. Making one takes less than a millisecond; removing one takes
//! some dozens, which nobody waits for.
//!
//! * [`TapPool`] makes, adopts and removes them.
//! * [`Tap`] is one that is there, for one machine.
//! * [`GuestNetwork`] is what the guest has to be told.

mod guest;
mod make;
mod tun;

pub use guest::{GuestNetwork, MAC};
pub use make::open_queue;

use crate::addr::MachineAddrs;
use crate::error::Result;
use crate::slot::{SlotPool, destination, lead_away, lead_here, prefixes};
use model::SlotId;
use netlink::Prefix;
use std::os::fd::OwnedFd;

/// A tap that its holder alone may change.
///
/// It holds no file: dropping it leaves the tap in place, to be adopted again.
#[derive(Debug)]
pub struct Tap {
    id: SlotId,
    link_name: String,
    /// Number of the link in the router.
    router_index: u32,
    /// Destinations that the router leads here, as read from the kernel or set since.
    carried: Vec<Prefix>,
}

impl Tap {
    /// Its number, which no slot has at the same time.
    #[must_use]
    pub fn id(&self) -> SlotId {
        self.id
    }

    /// Name of the router's end.
    #[must_use]
    pub fn link_name(&self) -> &str {
        &self.link_name
    }

    /// Whether exactly these addresses lead here.
    #[must_use]
    pub fn carries(&self, addrs: &MachineAddrs) -> bool {
        let wanted = destinations(addrs);
        self.carried.len() == wanted.len() && wanted.iter().all(|p| self.carried.contains(p))
    }
}

/// All taps of an instance: the side of a [`SlotPool`] that virtual machines use.
///
/// What an earlier daemon left is among [`SlotPool::unclaimed`], and [`SlotPool::remove`] removes
/// either kind.
#[derive(Clone, Copy, Debug)]
pub struct TapPool<'a> {
    slots: &'a SlotPool,
}

impl SlotPool {
    /// The taps, which share the numbers of the slots.
    #[must_use]
    pub fn taps(&self) -> TapPool<'_> {
        TapPool { slots: self }
    }
}

impl TapPool<'_> {
    /// A new tap, whose queue root alone may open.
    ///
    /// # Errors
    /// [`crate::Error::NoFreeSlot`] at the bound, [`crate::Error::TunMissing`] on a host without
    /// taps, or why it could not be made; nothing of it is left.
    pub fn take(self) -> Result<Tap> {
        self.slots.make_by(|id| make::make(self.slots.router(), id))
    }

    /// Leads a machine's addresses to the tap.
    ///
    /// One system call in the router. Repeating it is harmless; addresses of another machine lead
    /// here no longer. What the guest has to do is in [`GuestNetwork::of`].
    ///
    /// # Errors
    /// [`crate::Error::Netlink`]; some addresses may lead here, and it can be assigned again,
    /// unassigned or given back.
    pub fn assign(self, tap: &mut Tap, addrs: &MachineAddrs) -> Result<()> {
        if !tap.carries(addrs) {
            self.unassign(tap)?;
        }
        // Routes are all there is, and adoption reads them: no order of steps has to be kept.
        tap.carried = destinations(addrs).to_vec();
        lead_here(self.slots.router(), tap.router_index, &prefixes(addrs))
    }

    /// Leads nothing to the tap any longer.
    ///
    /// # Errors
    /// [`crate::Error::Netlink`]; may be repeated.
    pub fn unassign(self, tap: &mut Tap) -> Result<()> {
        lead_away(self.slots.router(), tap.router_index, &tap.carried)?;
        tap.carried.clear();
        Ok(())
    }

    /// Opens the tap's only queue, as [`open_queue`] does.
    ///
    /// # Errors
    /// As there.
    pub fn open_queue(self, tap: &Tap) -> Result<OwnedFd> {
        open_queue(&self.slots.router_pin(), &tap.link_name)
    }

    /// Opens an unclaimed tap: of a machine that still runs, or to be given back.
    ///
    /// # Errors
    /// [`crate::Error::SlotNotWhole`] (also of a slot): remove it.
    /// [`crate::Error::SlotNotUnclaimed`]: not one of those.
    pub fn adopt(self, id: SlotId) -> Result<Tap> {
        self.slots.adopt_by(id, || make::open(self.slots.router(), id))
    }

    /// Removes the tap of a machine that has ended, and every route to it.
    ///
    /// A queue that is open nevertheless is dead from then on. Takes up to 60 ms that nobody has to
    /// wait for and other network work is not held up by.
    ///
    /// # Errors
    /// [`crate::Error::Netlink`] when it cannot be removed: it is unclaimed then.
    pub fn give_back(self, tap: Tap) -> Result<()> {
        self.slots.discard(tap.id)
    }
}

/// Where the router's routes to a machine lead.
fn destinations(addrs: &MachineAddrs) -> [Prefix; 2] {
    prefixes(addrs).map(|prefix| destination(prefix).0)
}
