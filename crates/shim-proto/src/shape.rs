//! What all virtual machines that start from one template have in common.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a guest's processor comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accel {
    /// The host's processor runs the guest, by `/dev/kvm`.
    Kvm,
    /// QEMU translates the guest's code: on any host, several times slower, and no boundary that QEMU
    /// itself would call one of security.
    Tcg,
}

/// The shape of a virtual machine: one template for each. Its devices are always the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// RAM in MiB.
    pub ram_mib: u32,
    /// Processors.
    pub n_cpus: u32,
    /// How they come about.
    pub accel: Accel,
}

impl Shape {
    /// RAM in bytes.
    #[must_use]
    pub const fn ram_bytes(&self) -> u64 {
        // A cast that cannot lose anything, in a function that is const.
        (self.ram_mib as u64) << 20
    }
}

impl Accel {
    /// QEMU's word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// As names of files have it, e.g. `tcg-1x256`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}x{}", self.accel.word(), self.n_cpus, self.ram_mib)
    }
}
