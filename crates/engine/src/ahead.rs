//! What a pooled shim makes before it knows its run.

use crate::bare::BareNamespace;
use crate::cgroup::{DeviceProgram, Devices, Hierarchies};
use crate::container::seccomp;
use crate::error::EngineError;
use crate::sys::BpfInstruction;
use shim_proto::shape::Accel;

/// All that a container needs and that is the same for each of them.
#[derive(Debug, Default)]
pub struct Ahead {
    made: Option<Made>,
}

#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) bare: BareNamespace,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) filter: Vec<BpfInstruction>,
    /// What confines devices where v1 does not; `None` too where the kernel refuses it.
    pub(crate) devices: Option<DeviceProgram>,
}

impl Made {
    /// What a monitor with such a processor may open.
    pub(crate) fn devices_of(&self, accel: Accel) -> Devices<'_> {
        match accel {
            Accel::Kvm => Devices::AndKvm,
            Accel::Tcg => Devices::OfMachine(self.devices.as_ref()),
        }
    }
}

impl Ahead {
    /// Nothing yet: the first run makes it, and pays for it.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Makes all of it now.
    ///
    /// # Errors
    /// When this process may not make mount namespaces, or cannot read `/proc`.
    pub fn make() -> Result<Self, EngineError> {
        let mut ahead = Self::nothing();
        ahead.ensure()?;
        Ok(ahead)
    }

    /// What has been made, now if not before.
    pub(crate) fn ensure(&mut self) -> Result<&Made, EngineError> {
        if self.made.is_none() {
            let hierarchies = Hierarchies::detect()?;
            self.made = Some(Made {
                bare: BareNamespace::new()?,
                devices: DeviceProgram::for_host(&hierarchies),
                hierarchies,
                filter: seccomp::filter(),
            });
        }
        Ok(self.made.as_ref().expect("made just now"))
    }
}
