//! A desk with a door: what the process has around the HTTP part.

use crate::desk::Desk;
use crate::fixture;
use crate::http::serve;
use crate::visit::Visitor;
use crate::visit::drain::Drain;
use model::MachineId;
use model::spec::service::{Concurrency, Counts, Handler, HttpOptions, Port, Service};
use proxy_proto::{FromProxy, KnockOutcome, MachineRoute};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Longest wait for anything in these tests.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// The public port of all services; the listener has another one.
pub(super) const PORT: u16 = 8080;

/// `work`, which must end in time.
pub(super) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("it ends in time")
}

/// A proxy with one door.
pub(super) struct House {
    pub(super) desk: Desk,
    pub(super) addr: SocketAddr,
    pub(super) drain: Arc<Drain>,
    accepting: JoinHandle<()>,
}

impl House {
    /// That knows `machines`.
    pub(super) async fn of(machines: Vec<MachineRoute>) -> Self {
        let desk = Desk::new("local", 1);
        desk.with(|book, now| {
            book.link_up();
            for machine in machines {
                book.apply_machine(machine, now);
            }
            book.complete(now);
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a door");
        let addr = listener.local_addr().expect("its address");
        let drain = Arc::new(Drain::new());
        let accepting = tokio::spawn(accept(desk.clone(), listener, Arc::clone(&drain)));
        Self { desk, addr, drain, accepting }
    }

    /// With one machine that runs.
    pub(super) async fn with_one(http: HttpOptions, program: &super::program::Program) -> Self {
        Self::of(vec![program.machine(1, "web", http)]).await
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("the door opens")
    }

    /// Load of a machine.
    pub(super) fn load(&self, n: u32) -> (u32, u32) {
        let load = self.desk.read(|book| book.load_of(&fixture::id(n)));
        load.map_or((0, 0), |load| (load.n_requests, load.n_upgraded))
    }

    /// Waits until a machine has nothing to do.
    pub(super) async fn until_idle(&self, n: u32) {
        self.until_load(n, (0, 0)).await;
    }

    pub(super) async fn until_load(&self, n: u32, load: (u32, u32)) {
        in_time(async {
            while self.load(n) != load {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits for the next knock and answers it.
    pub(super) async fn answer_knock(&self, outcome: impl Fn(&MachineId) -> KnockOutcome) {
        in_time(async {
            loop {
                for message in self.desk.with(|book, _now| book.take_outbox()) {
                    if let FromProxy::Knock { ticket, machine, .. } = message {
                        let outcome = outcome(&machine);
                        self.desk.with(|book, now| book.knocked(ticket, outcome, now));
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(desk: Desk, listener: TcpListener, drain: Arc<Drain>) {
    while let Ok((stream, peer)) = listener.accept().await {
        let local = stream.local_addr().expect("its own address");
        let visitor = Visitor { peer, local, port: PORT, is_tls: false, sni: None, alpn: None };
        tokio::spawn(serve(desk.clone(), visitor, stream, drain.token()));
    }
}

/// A service at [`PORT`] with these options.
pub(super) fn service(internal_port: u16, http: HttpOptions, counts: Counts) -> Service {
    let port = Port { http, ..fixture::port(PORT, &[Handler::Http]) };
    let concurrency = Concurrency { counts, soft_limit: 1000, hard_limit: None };
    Service { internal_port, concurrency, ..fixture::service(vec![port]) }
}
