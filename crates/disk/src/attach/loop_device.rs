//! Loop devices: the two `ioctl`s that rustix lacks.
//!
//! Source: loop(4), `include/uapi/linux/loop.h`.

use crate::error::DiskError;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

/// How often another process may snatch the free device before we give up.
///
/// Each loss means that another attach succeeded, so a hundred starts at once settle well below.
const TRIES_MAX: u32 = 256;

/// The block size that ext4 and EROFS use here; also what direct I/O needs on 4 KiB disks.
const BLOCK_BYTES: u32 = 4096;

const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// `struct loop_config` with its `struct loop_info64` spelled out.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopConfig>() == 8 + 232 + 64);

/// How the file behind a loop device is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopMode {
    /// Through the page cache.
    Buffered,
    /// Around the page cache, so that data is not cached twice; falls back to buffered where the
    /// file system cannot.
    Direct,
}

impl LoopMode {
    const fn flags(self) -> u32 {
        LO_FLAGS_AUTOCLEAR
            | match self {
                Self::Buffered => 0,
                Self::Direct => LO_FLAGS_DIRECT_IO,
            }
    }
}

/// An attached loop device. Dropping it detaches the file unless the device is mounted by then.
#[derive(Debug)]
pub struct LoopDevice {
    _open: File,
    path: PathBuf,
}

impl LoopDevice {
    /// The device's path: `/dev/loop7`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Attaches `file` to a free loop device that clears itself at its last close.
///
/// # Errors
/// [`DiskError::NoLoopDevice`] when others took every free one first, [`DiskError::Io`] when the
/// kernel has no loop devices or refuses the file.
pub fn attach_loop(file: BorrowedFd<'_>, mode: LoopMode) -> Result<LoopDevice, DiskError> {
    let control_path = Path::new("/dev/loop-control");
    let control = File::options()
        .read(true)
        .write(true)
        .open(control_path)
        .map_err(DiskError::io("open", control_path))?;
    for _ in 0..TRIES_MAX {
        let number = free_number(&control)
            .map_err(DiskError::io("get a free loop device from", control_path))?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(DiskError::io("open", &path))?;
        match configure(&device, file, mode) {
            Ok(()) => return Ok(LoopDevice { _open: device, path }),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(DiskError::io("configure", &path)(error)),
        }
    }
    Err(DiskError::NoLoopDevice { tries: TRIES_MAX })
}

fn free_number(control: &File) -> io::Result<u32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument and touches no memory of ours.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    u32::try_from(number).map_err(|_negative| io::Error::last_os_error())
}

fn configure(device: &File, file: BorrowedFd<'_>, mode: LoopMode) -> io::Result<()> {
    // SAFETY: `LoopConfig` is plain numbers; all zeros asks for nothing.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.fd = u32::try_from(file.as_raw_fd()).expect("an open descriptor is not negative");
    config.block_size = BLOCK_BYTES;
    config.flags = mode.flags();
    // SAFETY: `config` has the layout of `struct loop_config` (checked by size above), lives
    // through the call and is only read.
    let result =
        unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, std::ptr::from_ref(&config)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
