//! Doors on the host, machines in a network namespace of their own.

use crate::harness::{INTERNAL, PORT, World, exchange, machine, port, service, up};
use proxy::Ground;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;
use tokio::io::AsyncWriteExt as _;

/// A network namespace with a name, gone at the end.
struct Netns(String);

impl Netns {
    fn new() -> Self {
        let netns = Self(format!("dm-proxy-{}", std::process::id()));
        ip(&["netns", "add", &netns.0]);
        ip(&["-n", &netns.0, "link", "set", "lo", "up"]);
        netns
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.0)
    }

    /// Listens inside.
    fn listen(&self, ip: Ipv4Addr) -> TcpListener {
        let path = self.path();
        let inside = std::thread::spawn(move || {
            let netns = File::open(path).expect("the namespace is there");
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(netns.as_fd(), network).expect("entered");
            TcpListener::bind((ip, INTERNAL)).expect("bound")
        });
        inside.join().expect("it did not panic")
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(args: &[&str]) {
    let status = Command::new("ip").args(args).status().expect("`ip` runs");
    assert!(status.success(), "ip {args:?}");
}

#[tokio::test]
async fn doors_are_outside_and_machines_inside() {
    let netns = Netns::new();
    let listener = netns.listen(Ipv4Addr::LOCALHOST);
    listener.set_nonblocking(true).expect("set");
    let listener = tokio::net::TcpListener::from_std(listener).expect("usable");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"from inside").await.expect("said");
        }
    });
    // The address is that of this host's loopback device too, where nobody listens.
    let route = machine(1, Ipv4Addr::LOCALHOST, up("r1"), service(vec![port(PORT, &[])]));
    let mut world = World::inside(Ground::Namespace(netns.path()), vec![route], vec![]).await;
    let mut visitor = world.visit().await;
    assert_eq!(exchange(&mut visitor, "x").await, "from inside");
    world.proxy.tell();
    world.proxy.ended().await;
}
