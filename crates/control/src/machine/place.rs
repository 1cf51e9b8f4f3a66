//! Where a machine is on the network while it runs: a slot for a container, a tap for a virtual machine.

use crate::inner::Inner;
use crate::shim::ShimProcess;
use crate::vms::WarmVm;
use model::SlotId;
use model::spec::{EngineKind, MachineSpec};
use net::{MachineAddrs, Slot, SlotPool, Tap};

/// A place that this machine alone has.
#[derive(Debug)]
pub(super) enum Place {
    /// Namespaces, and a link between them and the router.
    Slot(Slot),
    /// The router's end of a link whose other end is a virtual machine's.
    Tap(Tap),
    /// One at which a virtual machine waits already.
    Warm(WarmVm),
}

impl Place {
    /// A free one for such a machine; `None` for one that needs none. One that comes back from disk brings
    /// its own RAM along, so none that waits is of use to it.
    pub(super) fn take(
        inner: &Inner,
        spec: &MachineSpec,
        is_resume: bool,
    ) -> net::Result<Option<Self>> {
        let slots = &inner.slots;
        match spec.engine {
            EngineKind::Container => slots.take().map(|slot| Some(Self::Slot(slot))),
            EngineKind::Microvm if is_resume => slots.taps().take().map(|tap| Some(Self::Tap(tap))),
            EngineKind::Microvm => {
                let shape = inner.vms.known_shape_of(spec.guest);
                match shape.and_then(|shape| inner.warm.take(shape)) {
                    Some(vm) => Ok(Some(Self::Warm(vm))),
                    None => slots.taps().take().map(|tap| Some(Self::Tap(tap))),
                }
            }
            EngineKind::Fake => Ok(None),
        }
    }

    /// The shim that waits here, for a run, if one does.
    pub(super) fn take_shim(place: &mut Option<Self>) -> Option<ShimProcess> {
        match place.take() {
            Some(Self::Warm(vm)) => {
                let (tap, shim) = vm.into_parts();
                *place = Some(Self::Tap(tap));
                Some(shim)
            }
            other => {
                *place = other;
                None
            }
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
            Self::Warm(vm) => vm.tap().id(),
        }
    }

    /// Leads the machine's addresses here.
    pub(super) fn assign(&mut self, slots: &SlotPool, addrs: &MachineAddrs) -> net::Result<()> {
        match self {
            Self::Slot(slot) => slots.assign(slot, addrs),
            Self::Tap(tap) => slots.taps().assign(tap, addrs),
            // Its shim has been taken by then.
            Self::Warm(_) => Ok(()),
        }
    }

    /// Gives it to others, or away.
    pub(super) fn give_back(self, inner: &Inner) -> net::Result<()> {
        match self {
            Self::Slot(slot) => inner.slots.give_back(slot),
            Self::Tap(tap) => inner.slots.taps().give_back(tap),
            Self::Warm(vm) => {
                inner.warm.put_back(vm);
                Ok(())
            }
        }
    }
}
