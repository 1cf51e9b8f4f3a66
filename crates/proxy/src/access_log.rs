//! One line for each request and connection, by the tracing target `access`.

use crate::desk::{Admitted, Turned, Woken};
use crate::visit::Visitor;
use model::MachineId;
use std::time::Duration;
use tokio::time::Instant;

/// What became of a visitor; written down when it is over.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// When it began.
    pub(crate) since: Instant,
    /// `tcp`, `udp`, `http/1.1`, `h2`, `websocket`.
    pub(crate) protocol: &'static str,
    /// App, when it was found.
    pub(crate) app: Option<String>,
    /// Machine, when one was given.
    pub(crate) machine: Option<MachineId>,
    /// Method, host and path of a request.
    pub(crate) request: Option<(String, String, String)>,
    /// Status of the answer; 0 for a connection.
    pub(crate) status: u16,
    /// Why it was turned away.
    pub(crate) code: Option<String>,
    /// Bytes from the visitor.
    pub(crate) received_bytes: u64,
    /// Bytes to the visitor.
    pub(crate) sent_bytes: u64,
    /// How long it was held for a wake.
    pub(crate) held: Option<Duration>,
}

impl Line {
    /// Begins now.
    pub(crate) fn new(protocol: &'static str) -> Self {
        Self {
            since: Instant::now(),
            protocol,
            app: None,
            machine: None,
            request: None,
            status: 0,
            code: None,
            received_bytes: 0,
            sent_bytes: 0,
            held: None,
        }
    }

    /// It was given a machine.
    pub(crate) fn admitted(&mut self, admitted: &Admitted) {
        self.app = Some(admitted.route.app.clone());
        self.machine = Some(admitted.route.machine.clone());
        self.held = admitted.woken.as_ref().map(|woken: &Woken| woken.held);
    }

    /// It was turned away.
    pub(crate) fn turned(&mut self, turned: &Turned) {
        self.status = turned.status;
        self.code = Some(turned.code.clone());
    }

    /// It is over.
    pub(crate) fn write(&self, visitor: &Visitor) {
        let (method, host, path) = match &self.request {
            Some((method, host, path)) => (method.as_str(), host.as_str(), path.as_str()),
            None => ("-", visitor.sni.as_deref().unwrap_or("-"), "-"),
        };
        tracing::info!(
            target: "access",
            protocol = self.protocol,
            tls = visitor.is_tls,
            peer = %visitor.peer,
            port = visitor.port,
            app = self.app.as_deref().unwrap_or("-"),
            machine = self.machine.as_ref().map_or("-", MachineId::as_str),
            method,
            host,
            path,
            status = self.status,
            code = self.code.as_deref().unwrap_or("-"),
            received_bytes = self.received_bytes,
            sent_bytes = self.sent_bytes,
            held_ms = self.held.map(millis),
            took_ms = millis(self.since.elapsed()),
        );
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
