//! Where a machine is on the network while it runs: a slot for a container, a tap for a virtual machine.

use model::SlotId;
use model::spec::EngineKind;
use net::{MachineAddrs, Slot, SlotPool, Tap};

/// A place that this machine alone has.
#[derive(Debug)]
pub(super) enum Place {
    /// Namespaces, and a link between them and the router.
    Slot(Slot),
    /// The router's end of a link whose other end is a virtual machine's.
    Tap(Tap),
}

impl Place {
    /// A free one for a machine of this engine; `None` for one that needs none.
    pub(super) fn take(slots: &SlotPool, engine: EngineKind) -> net::Result<Option<Self>> {
        match engine {
            EngineKind::Container => slots.take().map(|slot| Some(Self::Slot(slot))),
            EngineKind::Microvm => slots.taps().take().map(|tap| Some(Self::Tap(tap))),
            EngineKind::Fake => Ok(None),
        }
    }

    /// The one that an earlier control process took.
    pub(super) fn adopt(slots: &SlotPool, id: SlotId, engine: EngineKind) -> net::Result<Self> {
        match engine {
            EngineKind::Microvm => slots.taps().adopt(id).map(Self::Tap),
            EngineKind::Container | EngineKind::Fake => slots.adopt(id).map(Self::Slot),
        }
    }

    /// Its number.
    pub(super) fn id(&self) -> SlotId {
        match self {
            Self::Slot(slot) => slot.id(),
            Self::Tap(tap) => tap.id(),
        }
    }

    /// Leads the machine's addresses here.
    pub(super) fn assign(&mut self, slots: &SlotPool, addrs: &MachineAddrs) -> net::Result<()> {
        match self {
            Self::Slot(slot) => slots.assign(slot, addrs),
            Self::Tap(tap) => slots.taps().assign(tap, addrs),
        }
    }

    /// Gives it to others, or away.
    pub(super) fn give_back(self, slots: &SlotPool) -> net::Result<()> {
        match self {
            Self::Slot(slot) => slots.give_back(slot),
            Self::Tap(tap) => slots.taps().give_back(tap),
        }
    }
}
