//! Visitors of an instance: they come in by the doors of its services, as clients outside do.

use crate::http::{Asked, Reply, TIMEOUT};
use crate::{Instance, wait};
use serde_json::Value;
use std::io;
use std::net::{SocketAddr, TcpStream};

impl Instance {
    /// Address of the door of a public port.
    #[must_use]
    pub fn door(&self, port: u16) -> SocketAddr {
        (self.door_address(), port).into()
    }

    /// A connection to a door that is open.
    ///
    /// # Panics
    /// It is refused.
    #[must_use]
    #[track_caller]
    pub fn connect(&self, port: u16) -> TcpStream {
        self.try_connect(port).unwrap_or_else(|error| panic!("{}: {error}", self.door(port)))
    }

    /// A connection to a door, with a bound on each wait for bytes.
    ///
    /// # Errors
    /// It is refused.
    pub fn try_connect(&self, port: u16) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.door(port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(stream)
    }

    /// A visitor's GET; `host` is a whole name, like `web.localhost`. Any status is fine.
    ///
    /// # Panics
    /// There is no answer.
    #[must_use]
    #[track_caller]
    pub fn visit(&self, port: u16, host: &str, target: &str) -> Reply {
        self.visit_as(port, &Asked::get(host, target))
    }

    /// A visitor's GET with further headers.
    ///
    /// # Panics
    /// There is no answer.
    #[must_use]
    #[track_caller]
    pub fn visit_with(
        &self,
        port: u16,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        self.visit_as(port, &Asked { headers, ..Asked::get(host, target) })
    }

    /// Any request of a visitor.
    ///
    /// # Panics
    /// There is no answer.
    #[must_use]
    #[track_caller]
    pub fn visit_as(&self, port: u16, asked: &Asked<'_>) -> Reply {
        self.try_visit(port, asked).unwrap_or_else(|error| panic!("{asked:?}: {error}"))
    }

    /// Any request of a visitor.
    ///
    /// # Errors
    /// There is no whole answer.
    pub fn try_visit(&self, port: u16, asked: &Asked<'_>) -> io::Result<Reply> {
        asked.over(self.try_connect(port)?)
    }

    /// What the proxy knows of a machine; `None` while it knows nothing, or does not answer.
    #[must_use]
    pub fn route(&self, id: &str) -> Option<Value> {
        let reply = self.try_request("GET", "/v1/proxy", b"").ok()?;
        let machines = reply.body["machines"].as_array()?;
        machines.iter().find(|machine| machine["route"]["machine"] == id).cloned()
    }

    /// Waits until the proxy knows of a machine what `is_so` looks for.
    ///
    /// # Panics
    /// It does not in time.
    #[track_caller]
    pub fn wait_for_route(&self, id: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
        wait::eventually("the proxy knows it", || self.route(id).filter(&mut is_so))
    }

    /// Waits until the proxy has the machine's record as it is now, and its TCP doors are open.
    ///
    /// # Panics
    /// That is not so in time.
    #[track_caller]
    pub fn wait_until_served(&self, id: &str) {
        let route = self.wait_for_route(id, |_any| true);
        let services = route["route"]["services"].as_array().cloned().unwrap_or_default();
        let ports = services.iter().filter(|service| service["protocol"] != "udp");
        let ports = ports.flat_map(|service| service["ports"].as_array().cloned());
        for port in ports.flatten().filter_map(|port| port["first"].as_u64()) {
            let port = u16::try_from(port).expect("a port");
            wait::eventually("the door is open", || is_listening(self.door(port)).then_some(()));
        }
    }
}

/// Whether somebody on this host listens there; unlike a connection it knocks on nothing.
fn is_listening(at: SocketAddr) -> bool {
    const LISTEN: &str = "0A";
    let SocketAddr::V4(at) = at else { return false };
    let address = format!("{:08X}:{:04X}", u32::from_ne_bytes(at.ip().octets()), at.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let mut sockets = table.lines().map(|line| line.split_ascii_whitespace().skip(1));
    sockets.any(|mut fields| fields.next() == Some(&address) && fields.nth(1) == Some(LISTEN))
}
