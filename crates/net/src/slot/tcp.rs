//! Ending TCP connections that outlive their programs.
//!
//! A connection in TIME_WAIT, or one whose last bytes are still unacknowledged, belongs to its
//! network namespace for up to minutes after its process has ended. In a slot that is used again,
//! it would keep the next machine from listening on the port and show it the addresses of the last
//! machine's peers.
//!
//! Source: `linux/sock_diag.h`, `linux/inet_diag.h`.

use crate::error::{Result, at};
use netlink::{Batch, DUMP, Protocol, Socket};
use rustix::io::Errno;
use std::fs;
use std::path::Path;

/// `AF_INET`, `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const IPPROTO_TCP: u8 = 6;
const ALL_STATES: u32 = u32::MAX;
/// Where `struct inet_diag_sockid` starts in an answer.
const ID_AT: usize = 4;
/// Bytes of `struct inet_diag_sockid`: ports, addresses, link, cookie.
const ID_BYTES: usize = 48;

/// Ends every TCP connection and listener of the calling thread's network namespace.
///
/// A kernel built without this ability (`INET_DIAG_DESTROY`) leaves them to their timers.
///
/// Finding them walks a table of the whole host, 0.4 ms for each family, so the counters of the
/// namespace are asked first.
pub(super) fn end_connections() -> Result<()> {
    if count_connections()? == 0 {
        return Ok(());
    }
    let mut socket = Socket::open_for(Protocol::SocketDiagnosis)?;
    for family in FAMILIES {
        let mut found = Vec::new();
        socket.dump(request(SOCK_DIAG_BY_FAMILY, DUMP, family, &[0; ID_BYTES]), |item| {
            found.extend(item.get(ID_AT..ID_AT + ID_BYTES).map(<[u8]>::to_vec));
        })?;
        for id in found {
            socket.apply(request(SOCK_DESTROY, 0, family, &id))?;
        }
    }
    Ok(())
}

/// TCP sockets of the namespace in any state but closed, as its counters say.
fn count_connections() -> Result<u64> {
    let mut count = 0;
    for name in ["sockstat", "sockstat6"] {
        let path = Path::new("/proc/thread-self/net").join(name);
        let text = fs::read_to_string(&path).map_err(at("read", &path))?;
        count += text.lines().filter(|line| line.starts_with("TCP")).map(in_use).sum::<u64>();
    }
    Ok(count)
}

/// The sum of `inuse` and `tw` (TIME_WAIT) in a line such as `TCP: inuse 1 orphan 0 tw 2`.
fn in_use(line: &str) -> u64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    let named = words.windows(2).filter(|pair| matches!(pair[0], "inuse" | "tw"));
    named.filter_map(|pair| pair[1].parse::<u64>().ok()).sum()
}

/// `struct inet_diag_req_v2` about one connection, or all for an id of zeroes.
fn request(kind: u16, flags: u16, family: u8, id: &[u8]) -> Batch {
    let already: &[Errno] = &[Errno::NOENT, Errno::OPNOTSUPP];
    let mut batch = Batch::new();
    batch.push(kind, flags, already, "end a TCP connection".to_owned(), |body| {
        body.raw(&[family, IPPROTO_TCP, 0, 0]);
        body.raw(&ALL_STATES.to_ne_bytes());
        body.raw(id);
    });
    batch
}
