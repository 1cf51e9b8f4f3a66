//! A file in RAM for the state of a guest's devices, which QEMU writes and reads.

use crate::error::EngineError;
use rustix::fs::{MemfdFlags, OFlags, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use vmm::STATE_MAX_BYTES;

/// The state of a guest's devices.
#[derive(Debug)]
pub(super) struct StateFile(File);

impl StateFile {
    /// An empty one.
    pub(super) fn make() -> Result<Self, EngineError> {
        let made = memfd_create("state", MemfdFlags::CLOEXEC);
        let made = made.map_err(EngineError::namespace("make a file for the devices' state"))?;
        Ok(Self(made.into()))
    }

    /// One that holds this.
    pub(super) fn with(bytes: &[u8]) -> Result<Self, EngineError> {
        let made = Self::make()?;
        let written = made.0.write_all_at(bytes, 0);
        written.map_err(EngineError::namespace("hold the devices' state"))?;
        Ok(made)
    }

    /// Another descriptor, to write only.
    pub(super) fn to_write(&self) -> Result<OwnedFd, EngineError> {
        let path = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        super::open_to(path.as_ref(), OFlags::WRONLY)
    }

    /// What is in it.
    pub(super) fn content(&self) -> Result<Vec<u8>, EngineError> {
        let read = || {
            let size = self.0.metadata()?.len();
            if size > STATE_MAX_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            self.0.read_exact_at(&mut bytes, 0)?;
            Ok::<_, io::Error>(bytes)
        };
        read().map_err(EngineError::namespace("read the devices' state"))
    }
}

impl AsFd for StateFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
