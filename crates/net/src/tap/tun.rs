//! `/dev/net/tun`: the calls that make taps and open their queues, in the calling thread's network
//! namespace.
//!
//! Source: `linux/if_tun.h`, `Documentation/networking/tuntap.rst` of the kernel.

use crate::error::{Error, Result, at};
use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Opcode, Updater, ioctl, opcode};
use std::ffi::c_int;
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

const DEVICE: &str = "/dev/net/tun";

const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
const TUNSETPERSIST: Opcode = opcode::write::<c_int>(b'T', 203);
const TUNSETOWNER: Opcode = opcode::write::<c_int>(b'T', 204);

const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;
/// Refuses a name that is taken, where a queue of that link would be opened otherwise.
const IFF_TUN_EXCL: u16 = 0x8000;
/// Whole frames, preceded by what a virtual network card says about checksums and lengths.
const KIND: u16 = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

/// `struct ifreq` with a name and flags.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    unused: [u8; 22],
}

/// Makes a tap that root alone may open; it goes when the queue is closed, unless it is kept.
pub(super) fn make(name: &str) -> Result<OwnedFd> {
    let queue = open()?;
    set_link(&queue, name, KIND | IFF_TUN_EXCL)
        .map_err(at("make a tap with", Path::new(DEVICE)))?;
    // SAFETY: TUNSETOWNER takes a user id in place of a pointer; any will do.
    let owned = unsafe { ioctl(&queue, IntegerSetter::<TUNSETOWNER>::new_usize(0)) };
    owned.map_err(at("give root a tap of", Path::new(DEVICE)))?;
    Ok(queue)
}

/// Lets the tap of this queue outlive it.
pub(super) fn keep(queue: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: TUNSETPERSIST takes zero or one in place of a pointer.
    let kept = unsafe { ioctl(queue, IntegerSetter::<TUNSETPERSIST>::new_usize(1)) };
    kept.map_err(at("keep a tap of", Path::new(DEVICE)))
}

/// Opens the queue of the tap `name`; `None` while it is open elsewhere.
///
/// Where no link has this name, the kernel makes one that goes when the queue is closed.
pub(super) fn attach(name: &str) -> Result<Option<OwnedFd>> {
    let queue = open()?;
    match set_link(&queue, name, KIND) {
        Err(Errno::BUSY) => Ok(None),
        other => {
            other.map_err(at("open a queue with", Path::new(DEVICE)))?;
            Ok(Some(queue))
        }
    }
}

fn open() -> Result<OwnedFd> {
    let path = Path::new(DEVICE);
    // Closed on `exec`, as all files that Rust opens.
    let opened = File::options().read(true).write(true).open(path);
    opened.map(OwnedFd::from).map_err(|source| {
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Error::TunMissing { source },
            _ => at("open", path)(source),
        }
    })
}

fn set_link(queue: &OwnedFd, name: &str, flags: u16) -> rustix::io::Result<()> {
    let mut request = Request { name: [0; 16], flags, unused: [0; 22] };
    // The last byte stays zero: the kernel wants an end.
    let room = request.name[..15].iter_mut();
    room.zip(name.bytes()).for_each(|(to, byte)| *to = byte);
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, of which `Request` has the size.
    unsafe { ioctl(queue, Updater::<TUNSETIFF, _>::new(&mut request)) }
}
