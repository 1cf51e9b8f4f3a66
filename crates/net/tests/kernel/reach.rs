//! Who reaches whom inside one instance.

use crate::world::{BLUE, Guest, RED, SOON, World, addrs, block, inside, ip, network};
use net::router::{Network, ROUTER_V4, ROUTER_V6};
use net::slot::host_id_base;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto};
use rustix::thread::{Gid, set_thread_gid};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How long an answer may take before it counts as none.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

#[test]
fn machines_of_one_network_reach_each_other() {
    let world = World::new();
    let (a, b) = (world.guest(RED, 1), world.guest(RED, 2));
    for (from, to) in a.ips().into_iter().zip(b.ips()) {
        assert_eq!(a.greets(&b, to).expect("a reaches b"), from);
        assert_eq!(b.greets(&a, from).expect("b reaches a"), to);
        ping(&a, to).expect("b answers");
    }
}

#[test]
fn a_machine_reaches_itself() {
    let world = World::new();
    let a = world.guest(RED, 1);
    for own in a.ips().into_iter().chain(["127.0.0.1", "::1"].map(|ip| ip.parse().expect("ip"))) {
        a.greets(&a, own).expect("itself");
    }
}

#[test]
fn machines_of_another_network_are_out_of_reach() {
    let world = World::new();
    let (red, blue) = (world.guest(RED, 1), world.guest(BLUE, 2));
    for to in blue.ips() {
        let failed = red.greets(&blue, to).expect_err("no way");
        assert_eq!(failed.kind(), ErrorKind::HostUnreachable, "{to}: {failed}");
        assert!(ping(&red, to).is_err());
    }
}

#[test]
fn a_network_added_later_connects_its_machines() {
    let world = World::new();
    let (late, id) = (7, network(7));
    let (a, b) = (world.guest(late, 1), world.guest(late, 2));
    assert!(a.greets(&b, b.addrs.v6.into()).is_err());
    assert!(a.greets(&b, b.addrs.v4.into()).is_err());
    for _ in 0..2 {
        let added = Network { id, blocks: vec![block(late)] };
        world.router.add_network(&added).expect("a network, also twice");
    }
    a.greets(&b, b.addrs.v6.into()).expect("a network");
    a.greets(&b, b.addrs.v4.into()).expect("a block");
    let thief = Network { id: network(RED), blocks: vec![block(late)] };
    assert!(world.router.add_network(&thief).is_err(), "the block has an owner");
}

#[test]
fn a_network_with_two_blocks_is_one_network() {
    let world = World::new();
    let grown = Network { id: network(RED), blocks: vec![block(9)] };
    world.router.add_network(&grown).expect("a block");
    let old = world.guest(RED, 1);
    let mut new = world.guest(RED, 2);
    new.addrs.v4 = block(9).hosts().next().expect("a host");
    world.pool.assign(&mut new.slot, &new.addrs).expect("addresses");
    old.greets(&new, new.addrs.v4.into()).expect("across blocks");
    new.greets(&old, old.addrs.v4.into()).expect("and back");
}

/// The forged datagram leaves first; were it let through, it would arrive first.
#[test]
fn a_forged_source_dies_at_its_own_link() {
    let world = World::new();
    let (mallory, alice) = (world.guest(RED, 1), world.guest(RED, 2));
    let bob = world.guest(RED, 3);
    let absent = addrs(RED, 4);
    let forgeries: [(IpAddr, &[IpAddr]); 2] = [
        (alice.addrs.v4.into(), &[bob.addrs.v4.into(), absent.v4.into(), ROUTER_V4.into()]),
        (alice.addrs.v6.into(), &[bob.addrs.v6.into(), absent.v6.into(), ROUTER_V6.into()]),
    ];
    for ((target, forged), own) in forgeries.into_iter().zip(mallory.ips()) {
        for &source in forged {
            let inbox = alice.run(|| UdpSocket::bind((target, 0))).expect("an inbox");
            let to = inbox.local_addr().expect("bound");
            mallory.run(|| {
                ip(&format!("addr add {source} dev eth0{}", nodad(source)));
                send(source, to, b"forged");
                send(own, to, b"honest");
                ip(&format!("addr del {source} dev eth0"));
            });
            inbox.set_read_timeout(Some(SOON)).expect("a deadline");
            let mut word = [0; 6];
            let (_, from) = inbox.recv_from(&mut word).expect("the honest one");
            assert_eq!((&word, from.ip()), (b"honest", own), "as {source}");
        }
    }
}

#[test]
fn the_router_is_closed_but_reaches_machines() {
    let world = World::new();
    let a = world.guest(RED, 1);
    for own in [IpAddr::from(ROUTER_V4), ROUTER_V6.into()] {
        let door = world
            .router
            .open_in_router(|| TcpListener::bind((own, 0)))
            .expect("inside")
            .expect("bound");
        let address = door.local_addr().expect("bound");
        assert_eq!(a.is_refused_at(address), ErrorKind::HostUnreachable);
        assert!(ping(&a, own).is_err());
    }
    for guest in a.ips() {
        let listener = a.run(|| TcpListener::bind((guest, 0))).expect("bound");
        let address = listener.local_addr().expect("bound");
        let connected = world.router.open_in_router(|| TcpStream::connect_timeout(&address, SOON));
        connected.expect("inside").expect("a connection to the guest");
    }
}

#[test]
fn without_egress_nothing_of_the_host_is_in_reach() {
    let door = TcpListener::bind("0.0.0.0:0").expect("bound");
    let port = door.local_addr().expect("bound").port();
    let world = World::new();
    let a = world.guest(RED, 1);
    for host in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(198, 51, 100, 1), ROUTER_V4] {
        a.is_refused_at(SocketAddr::from((host, port)));
    }
    let links = world.router.open_in_router(|| ip("-o link show")).expect("inside");
    assert_eq!(links.lines().count(), 2, "loopback and one slot: {links}");
}

#[test]
fn a_machine_that_sleeps_is_unreachable() {
    let world = World::new();
    let a = world.guest(RED, 1);
    let b = world.guest(RED, 2);
    let [v4, v6] = b.ips();
    world.pool.give_back(b.slot).expect("reset");
    for ip in [v4, v6] {
        let kind = a.is_refused_at(SocketAddr::from((ip, 80)));
        assert!(
            matches!(kind, ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable),
            "{ip}: {kind}"
        );
    }
}

/// The kernel's own refusals of what leads nowhere are rationed, and not at all after one of ours.
#[test]
fn every_try_to_reach_a_machine_that_sleeps_is_refused_at_once() {
    let world = World::new();
    let (a, asleep) = (world.guest(RED, 1), addrs(RED, 2));
    let elsewhere = SocketAddr::from((addrs(BLUE, 3).v4, 80));
    for refused in [elsewhere, (asleep.v4, 80).into()] {
        for n in 0..100 {
            assert_eq!(a.is_refused_at(refused), ErrorKind::HostUnreachable);
            // A refusal that is lost is seen at the second try, a second later.
            assert_eq!(a.run(n_second_tries), 0, "{refused}, {n}");
        }
    }
}

/// How often the kernel asked again for a connection from this thread's network namespace.
fn n_second_tries() -> u64 {
    let counters = std::fs::read_to_string("/proc/thread-self/net/netstat").expect("counters");
    let mut of_tcp = counters.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = of_tcp.next().zip(of_tcp.next()).expect("names and values");
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, value) = pairs.find(|(name, _)| *name == "TCPSynRetrans").expect("the counter");
    value.parse().expect("a number")
}

pub(crate) fn nodad(source: IpAddr) -> &'static str {
    if source.is_ipv6() { " nodad" } else { "" }
}

pub(crate) fn send(from: IpAddr, to: SocketAddr, word: &[u8]) {
    let socket = UdpSocket::bind((from, 0)).expect("bound");
    // The router's refusal of a forged source may come back as an error of the send: both will do.
    if let Err(e) = socket.send_to(word, to) {
        assert_ne!(word, b"honest", "{e}");
    }
}

/// One echo request as an ordinary user of the machine would send it.
pub(crate) fn ping(from: &Guest, to: IpAddr) -> io::Result<()> {
    ping_as(Gid::from_raw(host_id_base(from.slot.id()) + 1000), from.slot.netns(), to)
}

/// One echo request from a namespace where this group may send them.
pub(crate) fn ping_as(user: Gid, from: BorrowedFd<'_>, to: IpAddr) -> io::Result<()> {
    let (family, protocol, request) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    let socket = inside(from, || {
        set_thread_gid(user).expect("a user of the machine");
        rustix::net::socket(family, SocketType::DGRAM, Some(protocol)).expect("ping is allowed")
    });
    set_socket_timeout(&socket, Timeout::Recv, Some(PING_TIMEOUT))?;
    rustix::net::connect(&socket, &SocketAddr::from((to, 0)))?;
    rustix::net::send(&socket, &[request, 0, 0, 0, 0, 0, 0, 1], SendFlags::empty())?;
    let mut answer = [0; 64];
    rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    Ok(())
}
