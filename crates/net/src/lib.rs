//! Who can reach whom?
//!
//! This room owns an instance's pinned namespaces and everything in them that carries packets: the
//! mount namespace that holds the pins ([`instance`]), the router and its rules ([`router`]), the
//! slots that machines run in ([`slot`]), the taps that lead to virtual machines ([`tap`]), and the
//! arithmetic of addresses ([`addr`]). It leaves to others which network, address or slot belongs to
//! which machine: they store that and pass it in.
//!
//! Everything is synchronous. What is on the start path ([`slot::SlotPool::take`] with a free
//! slot, [`slot::SlotPool::assign`]) takes well under a millisecond, with a tap
//! ([`tap::TapPool::take`], [`tap::TapPool::assign`], [`tap::TapPool::open_queue`]) about one; the
//! rest may run programs or wait for the kernel and belongs on a thread that may block.

pub mod addr;
pub mod doctor;
mod error;
pub mod instance;
mod namespace;
mod nft;
mod pin;
pub mod router;
pub mod slot;
mod sysctl;
pub mod tap;

pub use addr::{MachineAddrs, NetworkId};
pub use error::{Error, Result};
pub use instance::InstanceNamespaces;
pub use router::{Pinner, Router};
pub use slot::{Slot, SlotPool};
pub use tap::{GuestNetwork, Tap, TapPool};
