//! The capabilities that a guest's root keeps: Docker's default set.

use crate::report::{Failure, Step};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// Docker's fourteen. Source: moby `oci/caps/defaults.go`.
const DEFAULT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Highest capability number that the kernel may know: sets have 64 bits.
const NUMBER_MAX: u32 = 63;

/// What a guest's root keeps. Where no cgroup controller guards devices, nobody may make nodes: then
/// those of `/dev` are all there are.
pub(crate) const fn for_host(guards_devices: bool) -> CapabilitySet {
    if guards_devices { DEFAULT } else { DEFAULT.difference(CapabilitySet::MKNOD) }
}

/// Drops all but `kept`, for this process and whatever it executes.
pub(crate) fn keep(kept: CapabilitySet) -> Result<(), Errno> {
    keep_at_most(kept)?;
    hold(kept)
}

/// Whatever this process executes gets no more than `kept`.
pub(crate) fn keep_at_most(kept: CapabilitySet) -> Result<(), Errno> {
    for number in 0..=NUMBER_MAX {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(capability) {
            continue;
        }
        match capability_is_in_bounding_set(capability) {
            Ok(true) => remove_capability_from_bounding_set(capability)?,
            Ok(false) => {}
            // The first number that the kernel does not know.
            Err(_) => break,
        }
    }
    // Kernels before 4.3 have no ambient set to clear.
    clear_ambient_capability_set().ok();
    Ok(())
}

/// Holds `kept` and no more from now on.
pub(crate) fn hold(kept: CapabilitySet) -> Result<(), Errno> {
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets)
}

/// Runs `act` with file system rights of `id`, so that what it makes belongs to the guest's root,
/// and still with every capability: changing the id drops those that concern files.
pub(crate) fn with_file_ids<T>(
    id: u32,
    act: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed = |errno| Step::FileIds.failed()(errno);
    let before = rustix::thread::capabilities(None).map_err(failed)?;
    set_file_ids(id);
    let result = set_capabilities(None, before).map_err(failed).and_then(|()| act());
    set_file_ids(0);
    result
}

#[allow(unsafe_code, reason = "system calls without a safe wrapper")]
fn set_file_ids(id: u32) {
    // SAFETY: both take a number and change only the credentials of this thread. They cannot say
    // that they failed; the overlay's check for writability would.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, id);
        libc::syscall(libc::SYS_setfsuid, id);
    }
}
