//! Making a template: the only time that a kernel boots.

use super::furnish;
use super::monitor::{Monitor, MonitorOrder};
use super::rehearsal::Stage;
use super::state_file::StateFile;
use super::vm_bytes_max;
use crate::ahead::Ahead;
use crate::cgroup::Cgroup;
use crate::container::layers::open_namespace;
use crate::error::EngineError;
use crate::wait;
use rustix::fs::{MemfdFlags, memfd_create};
use shim_proto::shape::Accel;
use shim_proto::spec::{Limits, RehearsalSpec};
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;
use vmm::command_line::{Drive, Purpose};
use vmm::template::{Order, Template, blank_ram};

/// Longest time that a kernel takes to boot: an emulated one needs 3 s with a core of its own, and
/// waits for one on a busy host.
const BOOT_MAX: Duration = Duration::from_secs(180);

/// The same for one that the host's processor runs, in a fraction of a second: where it takes longer,
/// as a rule, it never gets anywhere.
const KVM_BOOT_MAX: Duration = Duration::from_secs(10);

/// CPU ceiling in thousandths of a CPU: one for the guest, one for its monitor.
const CPU_MILLI: u32 = 2000;

/// Threads of the monitor.
const THREADS_MAX: u32 = 128;

/// Boots the kernel, and keeps the guest as it waits for its orders after a rehearsal.
///
/// # Errors
/// Whatever a start can fail with. Nothing is left but perhaps a part of the template, which the next
/// attempt replaces.
pub fn build_template(order: &Order) -> Result<(), EngineError> {
    let mut ahead = Ahead::nothing();
    let made = ahead.ensure()?;
    let limits = Limits {
        ram_bytes: vm_bytes_max(&order.key.shape),
        cpu_milli: CPU_MILLI,
        cpu_weight: 100,
        pids: THREADS_MAX,
    };
    let devices = made.devices_of(order.key.shape.accel);
    let mut cgroup = Cgroup::make(&made.hierarchies, devices, &order.cgroup, &limits, None)?;
    let built = boot_and_save(order, &mut ahead, &cgroup);
    let removed = cgroup.remove();
    let (ram, state) = built?;
    removed?;
    Template::save(&order.dir, &order.key, &ram, &state).map_err(EngineError::Template)
}

/// RAM and state of devices of a guest that waits.
fn boot_and_save(
    order: &Order,
    ahead: &mut Ahead,
    cgroup: &Cgroup,
) -> Result<(File, Vec<u8>), EngineError> {
    let ram = blank_ram(&order.key.shape).map_err(EngineError::Template)?;
    let copy = ram.as_fd().try_clone_to_owned();
    let netns = open_namespace(&order.netns_path)?;
    let monitor_order = MonitorOrder {
        program: &order.qemu_path,
        shape: &order.key.shape,
        purpose: Purpose::Boot { tsc_khz: order.key.tsc_khz },
        netns: &netns,
        uid: order.uid,
        files: vec![
            copy.map_err(EngineError::namespace("duplicate a descriptor"))?,
            in_ram(&order.kernel_path)?,
            in_ram(&order.initramfs_path)?,
        ],
    };
    let (mut monitor, _timings) = Monitor::start(&ahead.ensure()?.bare, cgroup, monitor_order)?;
    let boot_max = match order.key.shape.accel {
        Accel::Kvm => KVM_BOOT_MAX,
        Accel::Tcg => BOOT_MAX,
    };
    let saved = save_when_rehearsed(&mut monitor, &order.rehearsal, boot_max);
    // What is left of it must not write to the RAM that is read next.
    wait::end(&monitor.pidfd)?;
    Ok((ram, saved?))
}

/// A copy of a file that any user may open by its descriptor: QEMU opens what it boots by name, and ours
/// are for root alone.
fn in_ram(path: &Path) -> Result<OwnedFd, EngineError> {
    let copy = || {
        let mut copy = File::from(memfd_create("boot", MemfdFlags::CLOEXEC)?);
        std::io::copy(&mut File::open(path)?, &mut copy)?;
        Ok::<_, std::io::Error>(copy.into())
    };
    copy().map_err(EngineError::namespace(format!("read `{}`", path.display())))
}

fn save_when_rehearsed(
    monitor: &mut Monitor,
    rehearsal: &RehearsalSpec,
    boot_max: Duration,
) -> Result<Vec<u8>, EngineError> {
    let stage = Stage::set(rehearsal)?;
    monitor.exchange([(Drive::Image, stage.image.as_fd()), (Drive::Disk, stage.disk.as_fd())])?;
    monitor.drop_first_files()?;
    monitor.cont()?;
    furnish::wait_for_boot(monitor.another_channel()?, boot_max)?;
    stage.rehearse(monitor)?;
    monitor.stop()?;
    let state = StateFile::make()?;
    monitor.save(state.as_fd())?;
    state.content()
}
