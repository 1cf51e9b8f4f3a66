//! The socket: sends a batch, collects its answers.

use crate::error::{Error, Result};
use crate::message::{Answer, Batch, answers, u32_at};
use crate::uapi::{NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Longest time to wait for an answer: the kernel has it ready when `send` returns.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Size of the receive buffer, in bytes: twice what the kernel puts into one datagram of a dump.
///
/// Taken for each receive, since an instance keeps a socket for each of its slots.
const RECEIVE_BYTES: usize = 16 << 10;

/// What a netlink socket is about.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// Links, addresses, routes.
    Routing,
    /// The sockets of the namespace.
    SocketDiagnosis,
    /// The rules for packets.
    Rules,
}

/// A netlink socket of one network namespace.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens a socket for links, addresses and routes of the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn open() -> Result<Self> {
        Self::open_for(Protocol::Routing)
    }

    /// Opens a socket of the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn open_for(protocol: Protocol) -> Result<Self> {
        let socket = |source| Error::Socket { source };
        let protocol = match protocol {
            Protocol::Routing => None, // its number is 0, the default
            Protocol::SocketDiagnosis => Some(netlink::SOCK_DIAG),
            Protocol::Rules => Some(netlink::NETFILTER),
        };
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )
        .map_err(socket)?;
        set_socket_timeout(&fd, Timeout::Recv, Some(ANSWER_TIMEOUT)).map_err(socket)?;
        Ok(Self { fd, sequence: 0 })
    }

    /// Carries out every request of `batch`, in order, and reports the first refusal.
    ///
    /// A refused request does not keep later ones from being carried out.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::Answer`].
    pub fn apply(&mut self, mut batch: Batch) -> Result<()> {
        if batch.requests.is_empty() {
            return Ok(());
        }
        let (first, last) = self.send(&mut batch)?;
        let mut refusal = None;
        let mut is_done = false;
        while !is_done {
            self.receive(batch.doing(), |answer| {
                let nth = usize::try_from(answer.sequence.wrapping_sub(first)).ok();
                let request = nth.and_then(|nth| batch.requests.get(nth));
                let (Some(request), NLMSG_ERROR) = (request, answer.kind) else { return Ok(()) };
                is_done |= answer.sequence == last;
                match error_of(answer) {
                    Some(errno) if !request.already.contains(&errno) => {
                        refusal.get_or_insert_with(|| refused(&request.doing, errno));
                    }
                    _ => {}
                }
                Ok(())
            })?;
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Sends the single request of `batch` and gives the first answer that is not an error.
    ///
    /// `None` when the kernel refuses with an error listed as `already`.
    pub(crate) fn ask<T>(
        &mut self,
        mut batch: Batch,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>> {
        let (first, _) = self.send(&mut batch)?;
        let request = batch.requests.last().expect("one request");
        let mut found = None;
        let mut is_done = false;
        while !is_done {
            self.receive(&request.doing, |answer| {
                if answer.sequence != first {
                    return Ok(());
                }
                if answer.kind != NLMSG_ERROR {
                    found = Some(read(answer.body).ok_or_else(|| cut_short(&request.doing))?);
                    return Ok(());
                }
                is_done = true;
                match error_of(answer) {
                    Some(errno) if !request.already.contains(&errno) => {
                        Err(refused(&request.doing, errno))
                    }
                    _ => Ok(()),
                }
            })?;
        }
        Ok(found)
    }

    /// Sends the single request of `batch`, one with [`DUMP`], and feeds every item to `item`.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::Answer`].
    ///
    /// # Panics
    /// The batch is empty.
    pub fn dump(&mut self, mut batch: Batch, mut item: impl FnMut(&[u8])) -> Result<()> {
        let (first, _) = self.send(&mut batch)?;
        let request = batch.requests.last().expect("one request");
        let mut is_done = false;
        while !is_done {
            self.receive(&request.doing, |answer| {
                match (answer.sequence == first, answer.kind) {
                    (false, _) => {}
                    (true, NLMSG_DONE) => is_done = true,
                    (true, NLMSG_ERROR) => {
                        if let Some(errno) = error_of(answer) {
                            return Err(refused(&request.doing, errno));
                        }
                    }
                    (true, _) => item(answer.body),
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Sends all of it; returns the numbers of the first and of the last request.
    fn send(&mut self, batch: &mut Batch) -> Result<(u32, u32)> {
        let first = self.sequence.wrapping_add(1);
        self.sequence = batch.number(first);
        rustix::net::send(&self.fd, &batch.bytes, SendFlags::empty())
            .map_err(|e| refused(batch.doing(), e))?;
        Ok((first, self.sequence))
    }

    fn receive(
        &self,
        doing: &dyn fmt::Display,
        mut each: impl FnMut(Answer<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut buffer = [0; RECEIVE_BYTES];
        let (len, _) = rustix::net::recv(&self.fd, &mut buffer[..], RecvFlags::empty())
            .map_err(|e| refused(doing, e))?;
        for answer in answers(&buffer[..len]) {
            each(answer.ok_or_else(|| cut_short(doing))?)?;
        }
        Ok(())
    }
}

/// Flags of a request for a list, for [`Socket::dump`].
pub const DUMP: u16 = NLM_F_DUMP;

/// The error of an answer; `None` when it is an acknowledgement.
fn error_of(answer: Answer<'_>) -> Option<Errno> {
    let negated = i32::from_ne_bytes(u32_at(answer.body, 0).unwrap_or(0).to_ne_bytes());
    (negated != 0).then(|| Errno::from_raw_os_error(negated.saturating_neg()))
}

fn refused(doing: &dyn fmt::Display, errno: Errno) -> Error {
    Error::Refused { doing: doing.to_string(), source: errno }
}

fn cut_short(doing: &dyn fmt::Display) -> Error {
    Error::Answer { doing: doing.to_string() }
}
