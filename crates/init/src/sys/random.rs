//! The kernel's source of random numbers.
//!
//! Source: `random(4)`, "ioctl(2) interface"; `linux/random.h`.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// `_IOW('R', 0x03, int[2])`.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;

/// `_IO('R', 0x07)`.
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

/// Most bytes at once.
const BYTES_MAX: usize = 512;

/// `struct rand_pool_info` with its bytes behind it.
#[repr(C)]
struct PoolInfo {
    entropy_bits: libc::c_int,
    n_bytes: libc::c_int,
    bytes: [u8; BYTES_MAX],
}

/// Adds bytes that count as random, all of them, and makes the kernel begin anew from its pool.
///
/// # Errors
/// [`Errno::INVAL`] for more than 512 bytes; else what the kernel says.
pub(crate) fn add(random: &[u8]) -> Result<(), Errno> {
    let n_bytes = i32::try_from(random.len()).map_err(|_too_long| Errno::INVAL)?;
    let mut info = PoolInfo { entropy_bits: n_bytes * 8, n_bytes, bytes: [0; BYTES_MAX] };
    info.bytes.get_mut(..random.len()).ok_or(Errno::INVAL)?.copy_from_slice(random);
    let source = open()?;
    // SAFETY: `info` has the layout that the kernel reads, and holds as many bytes as it says.
    super::check(unsafe { libc::ioctl(source.as_raw_fd(), RNDADDENTROPY as _, &raw const info) })?;
    // SAFETY: takes no argument.
    super::check(unsafe { libc::ioctl(source.as_raw_fd(), RNDRESEEDCRNG as _) }).map(drop)
}

fn open() -> Result<OwnedFd, Errno> {
    rustix::fs::open(c"/dev/urandom", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}
