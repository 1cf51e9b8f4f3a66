//! How the disk comes to a child that was cloned before there was one.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

/// The one byte of the message: descriptors travel with bytes only.
const HERE: u8 = b'D';

/// The shim's end and the child's.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Gives `disk` to the child.
///
/// # Errors
/// [`Errno::PIPE`] when the child is gone.
pub(super) fn give(shim_end: &OwnedFd, disk: BorrowedFd<'_>) -> Result<(), Errno> {
    let rights = [disk];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&rights));
    sendmsg(shim_end, &[IoSlice::new(&[HERE])], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Waits for the disk. No allocation: the child calls it.
///
/// # Errors
/// [`Errno::PIPE`] when the shim has none to give, or is gone.
pub(super) fn receive(child_end: &OwnedFd) -> Result<OwnedFd, Errno> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(child_end, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let gift = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    gift.ok_or(Errno::PIPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn what_is_given_is_received_and_nothing_is_an_error() {
        let (shim_end, child_end) = pair().expect("a pair");
        let gift = rustix::fs::memfd_create("gift", rustix::fs::MemfdFlags::CLOEXEC).expect("one");
        give(&shim_end, gift.as_fd()).expect("given");
        let received = receive(&child_end).expect("received");
        let inode = |fd: &OwnedFd| rustix::fs::fstat(fd).expect("a file").st_ino;
        assert_eq!(inode(&received), inode(&gift));
        drop(shim_end);
        assert_eq!(receive(&child_end).expect_err("nothing more comes"), Errno::PIPE);
    }
}
