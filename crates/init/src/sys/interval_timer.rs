//! The 8254, the interval timer of a PC.

use super::check;
use rustix::io::Errno;
use std::arch::asm;

/// Its first port, and how many it has.
const PORTS: (libc::c_ulong, libc::c_ulong) = (0x40, 4);

/// Ports, and what to write there: its first counter counts once, from 65,536, and tells nobody
/// afterwards. Source: data sheet of the 8254, "Control Word" and "Mode 0".
const STOP_COUNTING: [(u16, u8); 3] = [(0x43, 0x30), (0x40, 0), (0x40, 0)];

/// Stops it, for a kernel that has no use for it and leaves it counting as a reset does: QEMU would wake
/// 36 times a second.
///
/// # Errors
/// This process may not, or the machine is none with ports.
pub(crate) fn stop() -> Result<(), Errno> {
    allow(true)?;
    for (port, byte) in STOP_COUNTING {
        // SAFETY: touches no memory. The port is the timer's, and has just been allowed; what is written
        // is what the kernel itself writes when it stops using the timer.
        unsafe {
            asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack, preserves_flags));
        }
    }
    allow(false)
}

fn allow(allowed: bool) -> Result<(), Errno> {
    // SAFETY: touches no memory.
    check(unsafe { libc::ioperm(PORTS.0, PORTS.1, allowed.into()) }).map(drop)
}
