//! The devices below the machine's root.

use super::Failure;
use super::port::wait_until_readable;
use crate::start_error::text;
use rustix::fs::{Mode, OFlags, SeekFrom, open, seek};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The image, read-only.
pub(super) const IMAGE_DEVICE: &CStr = c"/dev/vda";

/// The machine's own disk.
pub(super) const DISK_DEVICE: &CStr = c"/dev/vdb";

/// Longest wait for the disk's size: the host says it about the moment in which it lets the guest run.
const SIZE_WITHIN: Duration = Duration::from_secs(10);

/// The kernel's own news, which come as one group.
const FROM_KERNEL: u32 = 1;

/// More than any piece of them.
const NEWS_BYTES: usize = 8 * 1024;

/// Waits until the kernel knows that the disk is this large: until then it knows the size of another.
pub(super) fn wait_for_size(size_bytes: u64) -> Result<(), Failure> {
    if has_size(size_bytes)? {
        return Ok(());
    }
    let news = listen().map_err(Failure::of("hear of changes of devices"))?;
    let deadline = Instant::now() + SIZE_WITHIN;
    while !has_size(size_bytes)? {
        match wait_until_readable(&news, deadline).and_then(|()| drain(&news)) {
            Ok(()) => {}
            Err(Errno::TIMEDOUT) if has_size(size_bytes)? => {}
            Err(Errno::TIMEDOUT) => return Err(wrong_size(size_bytes)?),
            Err(errno) => return Err(Failure::of("hear of changes of devices")(errno)),
        }
    }
    Ok(())
}

fn has_size(size_bytes: u64) -> Result<bool, Failure> {
    Ok(shown_bytes()? == size_bytes)
}

/// Opened each time: what is held open keeps what it has read of another machine's disk.
fn shown_bytes() -> Result<u64, Failure> {
    let end = || {
        let disk = open(DISK_DEVICE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        seek(&disk, SeekFrom::End(0))
    };
    end().map_err(|errno| Failure(format!("the machine has no disk: {}", text(errno))))
}

fn wrong_size(size_bytes: u64) -> Result<Failure, Failure> {
    let shown = shown_bytes()?;
    Ok(Failure(format!("the disk has {shown} bytes and not {size_bytes}")))
}

fn listen() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let protocol = Some(KOBJECT_UEVENT);
    let news = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
    bind(&news, &SocketAddrNetlink::new(0, FROM_KERNEL))?;
    Ok(news)
}

/// Reads all news: whatever they say, the size is looked at.
fn drain(news: &OwnedFd) -> Result<(), Errno> {
    let mut buffer = vec![0; NEWS_BYTES];
    loop {
        match recv(news, &mut *buffer, RecvFlags::empty()) {
            // Some were lost: one look makes up for all.
            Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
