//! What the router itself answers: the resolver and the API, to machines, and nothing else.

use crate::wan::{HOST, outside};
use crate::world::{Guest, RED, SOON, World, addrs, eventually, inside, ip, on_private_host};
use net::router::{API_PORT, API_V6, DNS_PORT, DNS_V4, DNS_V6, Egress, ROUTER_V6, uplink_name};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) fn in_router<T: Send>(world: &World, work: impl FnOnce() -> io::Result<T> + Send) -> T {
    world.router.open_in_router(work).expect("inside").expect("bound")
}

/// Sends a word from `from` and gives who is seen to have sent the first one that arrives.
fn asks(guest: &Guest, resolver: &UdpSocket, longest: Duration) -> io::Result<SocketAddr> {
    asks_from(guest.slot.netns(), resolver, longest)
}

/// The same from any namespace.
pub(crate) fn asks_from(
    netns: BorrowedFd<'_>,
    resolver: &UdpSocket,
    longest: Duration,
) -> io::Result<SocketAddr> {
    let to = resolver.local_addr()?;
    let socket = inside(netns, || {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
        UdpSocket::bind((any, 0))
    })?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(longest))?;
    resolver.set_read_timeout(Some(longest))?;
    socket.send(b"query")?;
    let mut word = [0; 5];
    let (_, from) = resolver.recv_from(&mut word)?;
    resolver.send_to(b"reply", from)?;
    socket.recv(&mut word)?;
    assert_eq!(&word, b"reply");
    Ok(from)
}

#[test]
fn machines_reach_the_resolver_and_the_api() {
    let world = World::new();
    let a = world.guest(RED, 1);
    for (resolver, own) in [IpAddr::from(DNS_V4), DNS_V6.into()].into_iter().zip(a.ips()) {
        let at = SocketAddr::new(resolver, DNS_PORT);
        let udp = in_router(&world, || UdpSocket::bind(at));
        assert_eq!(asks(&a, &udp, SOON).expect("an answer").ip(), own);
        let _tcp = in_router(&world, || TcpListener::bind(at));
        a.run(|| TcpStream::connect_timeout(&at, SOON)).expect("long answers");
    }
    let api = SocketAddr::from((API_V6, API_PORT));
    let _api = in_router(&world, || TcpListener::bind(api));
    a.run(|| TcpStream::connect_timeout(&api, SOON)).expect("the API");
}

#[test]
fn every_other_door_of_the_router_is_closed() {
    let world = World::new();
    let a = world.guest(RED, 1);
    let doors: [(IpAddr, u16); 7] = [
        (DNS_V6.into(), API_PORT),
        (DNS_V6.into(), 54),
        (DNS_V4.into(), API_PORT),
        (DNS_V4.into(), 22),
        (API_V6.into(), DNS_PORT),
        (API_V6.into(), 80),
        (ROUTER_V6.into(), DNS_PORT),
    ];
    let doors = doors.map(SocketAddr::from);
    let _listeners = doors.map(|door| in_router(&world, || TcpListener::bind(door)));
    thread::scope(|scope| {
        for door in doors {
            let a = &a;
            scope.spawn(move || assert_eq!(a.is_refused_at(door), ErrorKind::HostUnreachable));
        }
    });
    let api = in_router(&world, || UdpSocket::bind((API_V6, API_PORT)));
    asks(&a, &api, Duration::from_millis(300)).expect_err("the API is TCP alone");
}

#[test]
fn a_forged_query_dies_at_its_own_link() {
    let world = World::new();
    let (mallory, alice) = (world.guest(RED, 1), world.guest(RED, 2));
    let resolvers: [IpAddr; 2] = [DNS_V4.into(), DNS_V6.into()];
    for ((resolver, forged), own) in resolvers.into_iter().zip(alice.ips()).zip(mallory.ips()) {
        let at = SocketAddr::new(resolver, DNS_PORT);
        let inbox = in_router(&world, || UdpSocket::bind(at));
        inbox.set_read_timeout(Some(SOON)).expect("a deadline");
        mallory.run(|| {
            let nodad = if forged.is_ipv6() { " nodad" } else { "" };
            ip(&format!("addr add {forged} dev eth0{nodad}"));
            let liar = UdpSocket::bind((forged, 0)).expect("bound");
            // The refusal may come back as an error of the send: both will do.
            drop(liar.send_to(b"forged", at));
            ip(&format!("addr del {forged} dev eth0"));
            UdpSocket::bind((own, 0)).expect("bound").send_to(b"honest", at).expect("sent");
        });
        let mut word = [0; 6];
        let (_, from) = inbox.recv_from(&mut word).expect("the honest one");
        assert_eq!((&word, from.ip()), (b"honest", own));
    }
    drop(alice);
}

/// The queue of the resolver's socket is one for all, so a flood must not get that far.
#[test]
fn a_flood_is_thinned_before_it_reaches_the_queue_of_all() {
    const FLOOD: u32 = 20_000;
    let world = World::new();
    let (flooder, other) = (world.guest(RED, 1), world.guest(RED, 2));
    for (resolver, own) in [IpAddr::from(DNS_V4), DNS_V6.into()].into_iter().zip(other.ips()) {
        let at = SocketAddr::new(resolver, DNS_PORT);
        let inbox = in_router(&world, || UdpSocket::bind(at));
        inbox.set_nonblocking(true).expect("a socket");
        let any: IpAddr = if at.is_ipv4() { [0; 4].into() } else { [0u16; 8].into() };
        let begun = Instant::now();
        let n_arrived = flooder.run(|| {
            let socket = UdpSocket::bind((any, 0)).expect("bound");
            let mut n_arrived = 0;
            for _ in 0..FLOOD {
                socket.send_to(b"again", at).expect("sent");
                // Read at once, so that none is lost here.
                n_arrived += u64::from(inbox.recv(&mut [0; 5]).is_ok());
            }
            n_arrived
        });
        let allowed = 2_000 + 1_000 * begun.elapsed().as_secs() + 1_000;
        assert!((2_000..=allowed).contains(&n_arrived), "{n_arrived} in {:?}", begun.elapsed());
        inbox.set_nonblocking(false).expect("a socket");
        assert_eq!(asks(&other, &inbox, SOON).expect("an answer").ip(), own);
        eventually("its own rate comes back", || {
            asks(&flooder, &inbox, Duration::from_millis(50)).is_ok()
        });
    }
    let tracked = world.router.open_in_router(|| std::fs::read_to_string("/proc/net/nf_conntrack"));
    if let Ok(tracked) = tracked.expect("inside") {
        assert!(!tracked.contains(" dport=53 "), "{tracked}");
    }
}

#[test]
fn nothing_answers_to_the_world() {
    on_private_host(|| {
        let far = outside();
        let world = World::with_egress(Egress::Nat);
        let resolver = SocketAddr::from((DNS_V4, DNS_PORT));
        let _listener = in_router(&world, || TcpListener::bind(resolver));
        ip(&format!("route add {DNS_V4} dev {}", uplink_name(&world.tag)));
        let tried = TcpStream::connect_timeout(&resolver, SOON);
        assert_eq!(tried.expect_err("not the host's").kind(), ErrorKind::HostUnreachable);
        inside(far.as_fd(), || {
            ip(&format!("route add {DNS_V4} via {HOST}"));
            TcpStream::connect_timeout(&resolver, Duration::from_millis(500))
                .expect_err("nor the world's")
        });
    });
}

/// Links carry no neighbour discovery, so a claim to another's address is not even heard.
#[test]
fn a_claim_to_the_address_of_another_is_not_heard() {
    let world = World::new();
    let (mallory, alice, bob) = (world.guest(RED, 1), world.guest(RED, 2), world.guest(RED, 3));
    let link = mallory.slot.link_name().to_owned();
    mallory.run(|| {
        for forged in alice.ips() {
            let nodad = if forged.is_ipv6() { " nodad" } else { "" };
            ip(&format!("addr add {forged} dev eth0{nodad}"));
        }
        for setting in ["ipv4/conf/eth0/arp_notify", "ipv6/conf/eth0/ndisc_notify"] {
            std::fs::write(format!("/proc/sys/net/{setting}"), "1").expect("writable");
        }
        ip("link set eth0 arp on");
        // A changed hardware address is announced, to all neighbours, with each own address.
        ip("link set eth0 address 02:00:00:00:00:01");
        ip("link set eth0 address 02:00:00:00:00:02");
    });
    let neighbours = world.router.open_in_router(|| ip(&format!("neigh show dev {link}")));
    let learnt = neighbours.expect("inside");
    let learnt: Vec<_> = learnt.lines().filter(|line| !line.contains("NOARP")).collect();
    assert_eq!(learnt, Vec::<&str>::new(), "nothing is learnt");
    for own in alice.ips() {
        bob.greets(&alice, own).expect("still alice");
    }
    assert_eq!(alice.addrs, addrs(RED, 2));
}
