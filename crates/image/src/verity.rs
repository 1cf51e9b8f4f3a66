//! fs-verity: the kernel checks each page of an image as it is read.
//!
//! Where the file system has it (ext4, btrfs and f2fs with the feature turned on), a published image
//! can never be read wrong, and checking at the mount costs one system call. Elsewhere nothing
//! here does anything.
//!
//! Source: `Documentation/filesystems/fsverity.rst`, `include/uapi/linux/fsverity.h` of the kernel.

use crate::content::digest_of_hash;
use model::ids::Digest;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

const HASH_SHA256: u32 = 1;
const SHA256_LEN: usize = 32;

/// Bytes that one hash stands for: the only size that every kernel with fs-verity takes.
const BLOCK_BYTES: u32 = 4096;

/// `struct fsverity_enable_arg`.
#[repr(C)]
struct EnableArg {
    version: u32,
    hash_algorithm: u32,
    block_size: u32,
    salt_size: u32,
    salt_ptr: u64,
    sig_size: u32,
    reserved1: u32,
    sig_ptr: u64,
    reserved2: [u64; 11],
}

/// `struct fsverity_digest` with room for the longest digest asked for.
#[repr(C)]
struct MeasuredDigest {
    digest_algorithm: u16,
    /// Room on the way in, length on the way out.
    digest_size: u16,
    digest: [u8; SHA256_LEN],
}

/// `_IOW('f', 133, struct fsverity_enable_arg)`.
const FS_IOC_ENABLE_VERITY: libc::Ioctl = 0x4080_6685;

/// `_IOWR('f', 134, struct fsverity_digest)`; the size is that of the struct without the digest.
const FS_IOC_MEASURE_VERITY: libc::Ioctl = 0xC004_6686;

/// Makes the file unchangeable for good and returns its measure; `None` where that is not possible.
///
/// Nobody has it open for writing.
pub(crate) fn enable(path: &Path) -> io::Result<Option<Digest>> {
    let file = File::open(path)?;
    let arg = EnableArg {
        version: 1,
        hash_algorithm: HASH_SHA256,
        block_size: BLOCK_BYTES,
        salt_size: 0,
        salt_ptr: 0,
        sig_size: 0,
        reserved1: 0,
        sig_ptr: 0,
        reserved2: [0; 11],
    };
    // SAFETY: the descriptor is open for the call, and `arg` is what this request reads.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_ENABLE_VERITY, &raw const arg) };
    match checked(result) {
        Ok(()) | Err(Errno::EXIST) => measure(&file),
        Err(error) if is_unsupported(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The measure of a file with fs-verity; `None` for any other.
pub(crate) fn measure(file: &File) -> io::Result<Option<Digest>> {
    let mut measured = MeasuredDigest {
        digest_algorithm: 0,
        digest_size: u16::try_from(SHA256_LEN).expect("a small constant"),
        digest: [0; SHA256_LEN],
    };
    // SAFETY: the descriptor is open for the call, and `measured` has the room that it says.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_MEASURE_VERITY, &raw mut measured) };
    match checked(result) {
        Ok(()) => {
            let is_ours = u32::from(measured.digest_algorithm) == HASH_SHA256
                && usize::from(measured.digest_size) == SHA256_LEN;
            Ok(is_ours.then(|| digest_of_hash(&measured.digest)))
        }
        // NODATA: this file has none. OVERFLOW: a longer digest than ours.
        Err(Errno::NODATA | Errno::OVERFLOW) => Ok(None),
        Err(error) if is_unsupported(error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn checked(result: i32) -> Result<(), Errno> {
    match result {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// The file system or the kernel has no fs-verity, or not with this block size or hash.
fn is_unsupported(error: Errno) -> bool {
    matches!(
        error,
        Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::NOPKG | Errno::NOSYS | Errno::ROFS
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of an ioctl. Source: `include/uapi/asm-generic/ioctl.h`.
    fn ioctl_number(direction: u64, size: usize, nr: u64) -> u64 {
        (direction << 30) | (u64::try_from(size).unwrap() << 16) | (u64::from(b'f') << 8) | nr
    }

    #[test]
    fn requests_are_numbered_as_the_kernel_does() {
        let enable = ioctl_number(1, size_of::<EnableArg>(), 133);
        assert_eq!(enable, FS_IOC_ENABLE_VERITY);
        let measure = ioctl_number(3, size_of::<MeasuredDigest>() - SHA256_LEN, 134);
        assert_eq!(measure, FS_IOC_MEASURE_VERITY);
    }

    #[test]
    fn a_file_is_protected_or_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        let protected = enable(&path).unwrap();
        assert_eq!(measure(&File::open(&path).unwrap()).unwrap(), protected);
        // A protected file refuses to be opened for writing.
        let opened = File::options().write(true).open(&path);
        assert_eq!(opened.is_err(), protected.is_some());
    }
}
