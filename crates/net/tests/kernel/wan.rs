//! The world beyond the host: another machine on the host's network, as a namespace.

use crate::world::{Guest, ip, on_private_host};
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Addresses of the host and of the other machine on their network.
pub(crate) const HOST: &str = "198.51.100.1";
pub(crate) const OUTSIDE: &str = "198.51.100.2";
pub(crate) const HOST6: &str = "2001:db8::1";
pub(crate) const OUTSIDE6: &str = "2001:db8::2";
/// Second addresses of the other machine, where a test gives it some.
pub(crate) const OTHER: &str = "198.51.100.3";
pub(crate) const OTHER6: &str = "2001:db8::3";

/// How long a connection may take before it counts as impossible: longer than the first repetition
/// of a SYN, since TCP over IPv6 may take the refusal of the first one as passing.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);

/// Another machine on the host's network, as a namespace.
pub(crate) fn outside() -> File {
    let host = rustix::thread::gettid().as_raw_nonzero();
    let netns = on_private_host(|| {
        ip(&format!("link add wan type veth peer name wan netns {host}"));
        ip(&format!("addr add {OUTSIDE}/24 dev wan"));
        ip("link set wan up");
        File::open("/proc/thread-self/ns/net").expect("own namespace")
    });
    ip(&format!("addr add {HOST}/24 dev wan"));
    ip("link set wan up");
    netns
}

/// The same with IPv6, which the host forwards.
pub(crate) fn outside_with_v6() -> File {
    use std::os::fd::AsFd as _;
    let far = outside();
    crate::world::inside(far.as_fd(), || ip(&format!("addr add {OUTSIDE6}/64 dev wan nodad")));
    ip(&format!("addr add {HOST6}/64 dev wan nodad"));
    fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("writable");
    far
}

pub(crate) fn listen(at: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((at, 0)).expect("bound");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

pub(crate) fn connect(guest: &Guest, to: SocketAddr) -> io::Result<TcpStream> {
    guest.run(|| TcpStream::connect_timeout(&to, CONNECT_TIMEOUT))
}
