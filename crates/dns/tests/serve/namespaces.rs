//! The resolver in one network namespace, the host's resolvers in another.

use crate::client::{ip, look_up};
use crate::upstream::Upstream;
use crate::{Running, start};
use dns::{Doors, HostSockets, Options, Sockets, Unpinned, Upstreams};
use hickory_proto::op::ResponseCode;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

/// What a thread in the host's namespace is asked to make.
enum Wanted {
    Udp(SocketAddr, oneshot::Sender<io::Result<UdpSocket>>),
    Tcp(SocketAddr, oneshot::Sender<io::Result<OwnedFd>>),
}

/// Sockets of the namespace in which somebody else makes them.
struct Elsewhere(mpsc::Sender<Wanted>);

impl Sockets for Elsewhere {
    async fn udp(&self, upstream: SocketAddr) -> io::Result<UdpSocket> {
        let (sender, made) = oneshot::channel();
        self.0.send(Wanted::Udp(upstream, sender)).await.map_err(io::Error::other)?;
        made.await.map_err(io::Error::other)?
    }

    async fn tcp(&self, upstream: SocketAddr) -> io::Result<OwnedFd> {
        let (sender, made) = oneshot::channel();
        self.0.send(Wanted::Tcp(upstream, sender)).await.map_err(io::Error::other)?;
        made.await.map_err(io::Error::other)?
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn upstreams_on_the_hosts_loopback_are_reached_from_another_namespace() {
    let host = runtime();
    let in_host = host.enter();
    let upstream = Upstream::start(|question, way| {
        let reply = crate::upstream::answer(question, &["192.0.2.1"], 300);
        let is_cut = way == crate::upstream::Way::Udp
            && question.queries[0].name.to_lowercase().to_string() == "cut.example.";
        vec![if is_cut { reply.truncate() } else { reply }]
    });
    drop(in_host);
    let (sender, mut wanted) = mpsc::channel(16);
    let address = upstream.address;
    // The namespace goes with its last thread and socket.
    let inside = std::thread::spawn(move || inside(address, Elsewhere(sender)));
    host.block_on(async {
        while let Some(wanted) = wanted.recv().await {
            let is_taken = match wanted {
                Wanted::Udp(to, made) => made.send(HostSockets::make_udp(to)).is_ok(),
                Wanted::Tcp(to, made) => made.send(HostSockets::make_tcp(to)).is_ok(),
            };
            assert!(is_taken, "somebody waits for it");
        }
    });
    inside.join().expect("no panic");
    assert_eq!(upstream.n_asked(), 3, "one of them twice, over TCP too");
}

/// Moves this thread into a network namespace of its own, which has loopback only.
fn enter_own_namespace() {
    // SAFETY: only the network namespace of this thread changes, no memory or descriptor is shared
    // differently.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
        .expect("a namespace");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip runs");
    assert!(up.success());
}

#[test]
fn a_port_that_is_free_for_tcp_only_is_passed_over() {
    let in_namespace = std::thread::spawn(|| {
        enter_own_namespace();
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40007").expect("narrowed");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut taken: Vec<_> = (40_000..40_007)
            .map(|port| UdpSocket::bind(("127.0.0.1", port)).expect("nobody else is here"))
            .collect();
        let doors = Doors::bind(&[any]).expect("one port is free for both");
        assert_eq!(doors.udp[0].local_addr().expect("an address").port(), 40_007);
        assert_eq!(doors.tcp[0].local_addr().expect("an address").port(), 40_007);
        drop(doors);
        taken.push(UdpSocket::bind("127.0.0.1:40007").expect("free again"));
        let refused = Doors::bind(&[any]).expect_err("none is free for both");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    });
    in_namespace.join().expect("no panic");
}

/// The resolver and its askers, in a namespace of their own.
fn inside(upstream: SocketAddr, sockets: Elsewhere) {
    enter_own_namespace();
    runtime().block_on(async {
        let unreachable = start(&[upstream]);
        let found = look_up(1, unreachable.address, "plain.example.").await;
        assert_eq!(found.0, ResponseCode::ServFail, "not there in this namespace");
        unreachable.stop().await;
        let forward = Upstreams::new(sockets, vec![upstream]);
        let running = Running::start(forward, Unpinned, Options::default());
        for name in ["plain.example.", "cut.example."] {
            let found = look_up(1, running.address, name).await;
            assert_eq!(found, (ResponseCode::NoError, vec![ip("192.0.2.1")]), "{name}");
        }
        running.stop().await;
    });
}
