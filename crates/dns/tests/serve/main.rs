//! The resolver with real sockets on loopback: askers, and upstream servers that follow a script.

mod client;
mod hostile;
mod namespaces;
mod outside;
mod own;
mod rules;
mod upstream;

use dns::{
    Doors, Forward, HostSockets, Machine, Options, Pin, Server, Unpinned, Upstreams, Zone,
    ZoneHandle,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running resolver; it ends with this.
pub(crate) struct Running<F, P> {
    pub(crate) server: Arc<Server<F, P>>,
    pub(crate) zone: ZoneHandle,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Result<(), dns::ServeError>>,
}

impl<F: Forward, P: Pin> Running<F, P> {
    pub(crate) fn start(forward: F, pin: P, options: Options) -> Self {
        let doors = Doors::bind(&["127.0.0.1:0".parse().expect("an address")]).expect("bound");
        let address = doors.udp[0].local_addr().expect("an address");
        let mut zone = Zone::new("fdaa::4".parse().expect("an address"));
        for number in 1..=3 {
            zone.upsert_machine(machine(number));
        }
        let zone = ZoneHandle::new(zone);
        let server = Server::new(zone.clone(), forward, pin, options);
        let (stop, stopped) = oneshot::channel();
        let wait = async move { stopped.await.unwrap_or(()) };
        let done = tokio::spawn(Arc::clone(&server).run(doors, wait));
        Self { server, zone, address, stop, done }
    }

    /// Stops it; whether everything ended well.
    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.done.await.expect("no panic").expect("no error");
    }
}

/// A resolver that asks `upstreams`.
pub(crate) fn start(upstreams: &[SocketAddr]) -> Running<Upstreams<HostSockets>, Unpinned> {
    Running::start(Upstreams::new(HostSockets, upstreams.to_vec()), Unpinned, Options::default())
}

/// Address from which machine `number` asks.
pub(crate) fn source(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 66, number)
}

/// Machine `number`, started, in app `web` of network 1.
pub(crate) fn machine(number: u8) -> Machine {
    Machine {
        id: format!("{number:014x}").parse().expect("an id"),
        app: "web".to_owned(),
        network: 1,
        region: "here".to_owned(),
        is_up: true,
        v4: source(number),
        v6: format!("fdaa:0:1:a7b::{number}:2").parse().expect("an address"),
        metadata: std::collections::BTreeMap::new(),
        process_group: None,
        is_hidden: false,
        name_rule: None,
    }
}
