//! The run of a machine that nobody owns: whatever a guest does for the first time it does slowly, above
//! all on an emulated processor, which translates each piece of code when it first gets there. So each
//! does all of a start once before anybody waits for it: before it becomes a template, and again in each
//! monitor, whose translations are its own.

use super::furnish;
use super::monitor::Monitor;
use crate::error::EngineError;
use guest_proto::{Furnishing, LinkOrders, Orders};
use net::{GuestNetwork, MachineAddrs};
use rustix::fs::{MemfdFlags, memfd_create};
use shim_proto::spec::RehearsalSpec;
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use vmm::command_line::Drive;
use vmm::rehearsal::PROGRAM;

/// Addresses that lead nowhere. Source: RFC 5737 and RFC 3849, for documentation.
const ADDRS: MachineAddrs = MachineAddrs {
    v4: Ipv4Addr::new(192, 0, 2, 2),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2),
};

/// The files of such a machine.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) image: OwnedFd,
    /// A copy in RAM, of which only what is written takes any.
    pub(super) disk: OwnedFd,
    disk_bytes: u64,
}

impl Stage {
    /// Opens and copies them.
    pub(super) fn set(spec: &RehearsalSpec) -> Result<Self, EngineError> {
        let open = || {
            let image = File::open(&spec.image_path)?;
            let disk = File::from(memfd_create("disk", MemfdFlags::CLOEXEC)?);
            ::disk::copy_data(&File::open(&spec.disk_path)?, &disk)?;
            let disk_bytes = disk.metadata()?.len();
            Ok::<_, std::io::Error>(Self { image: image.into(), disk: disk.into(), disk_bytes })
        };
        open().map_err(EngineError::namespace("open the files of a rehearsal"))
    }

    /// Size of its disk.
    pub(super) const fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Plays on it. The guest runs and waits, before and afterwards.
    pub(super) fn rehearse(&self, monitor: &mut Monitor) -> Result<(), EngineError> {
        monitor.resize(&Drive::Disk.node(), self.disk_bytes)?;
        let furnishing = Furnishing {
            hostname: "rehearsal".to_owned(),
            disk_bytes: self.disk_bytes,
            entropy_base64: furnish::entropy()?,
            has_fresh_run: false,
            link: Some(link()),
            is_rehearsal: true,
        };
        furnish::furnish(monitor.another_channel()?, furnishing)?;
        furnish::rehearse_program(monitor.another_channel()?, orders())
    }
}

fn link() -> LinkOrders {
    let guest = GuestNetwork::of(&ADDRS);
    LinkOrders {
        v4: guest.v4,
        v6: guest.v6,
        v6_len: guest.v6_len,
        gateway_v4: guest.gateway_v4,
        gateway_v6: guest.gateway_v6,
    }
}

fn orders() -> Orders {
    Orders {
        argv: [PROGRAM, "rehearsal"].map(str::to_owned).to_vec(),
        env: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
        hostname: "rehearsal".to_owned(),
        ..Orders::default()
    }
}
