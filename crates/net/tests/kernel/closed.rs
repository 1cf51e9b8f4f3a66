//! What stays closed to every machine by the way out: metadata, other machines, the host.

use crate::wan::{HOST, HOST6, OUTSIDE, OUTSIDE6, connect, listen, outside_with_v6};
use crate::world::{Guest, RED, SOON, World, inside, ip, on_private_host, output_of};
use model::spec::egress::EgressPolicy;
use net::router::{Egress, uplink_name};
use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;

/// Puts the address on the other machine and a route there on the host, which can then reach it.
fn appears_outside(far: &File, addr: IpAddr) -> (TcpListener, SocketAddr) {
    let (len, via) = if addr.is_ipv4() { (32, OUTSIDE) } else { (128, OUTSIDE6) };
    let nodad = if addr.is_ipv6() { " nodad" } else { "" };
    let (listener, address) = inside(far.as_fd(), || {
        ip(&format!("addr add {addr}/{len} dev wan{nodad}"));
        listen(&addr.to_string())
    });
    ip(&format!("route add {addr}/{len} via {via}"));
    TcpStream::connect_timeout(&address, SOON).expect("the host reaches it");
    (listener, address)
}

#[track_caller]
fn is_closed(guest: &Guest, address: SocketAddr) {
    let kind = connect(guest, address).expect_err("closed").kind();
    let is_told = matches!(kind, ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable);
    assert!(is_told, "{address}: {kind}");
}

#[test]
fn metadata_and_machines_of_others_are_closed_and_the_operators_network_is_open() {
    on_private_host(|| {
        let far = outside_with_v6();
        let world = World::with_egress(Egress::Nat);
        let guests = [world.guest(RED, 1), world.guest(RED, 2)];
        let everything = r#"{"default":"deny","rules":[{"action":"allow","to":"*"}]}"#;
        let policy: EgressPolicy = serde_json::from_str(everything).expect("a policy");
        world.router.set_egress(&guests[1].addrs, &policy).expect("set");
        let closed = [
            "169.254.169.254",
            "169.254.7.7",
            "168.63.129.16",
            "100.100.100.200",
            "100.127.255.1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fdaa:7:7:a7b::2",
            "fdaa::9",
            "fd64:6d00:7::1",
            "64:ff9b::a9fe:a9fe",
        ];
        let doors = closed.map(|addr| appears_outside(&far, addr.parse().expect("ip")));
        std::thread::scope(|scope| {
            for (guest, (_, address)) in
                guests.iter().flat_map(|g| doors.iter().map(move |d| (g, d)))
            {
                scope.spawn(|| is_closed(guest, *address));
            }
        });
        for open in ["10.9.9.9", "172.16.1.1", "192.168.1.1", "fd12::1", "203.0.113.9"] {
            let (_listener, address) = appears_outside(&far, open.parse().expect("ip"));
            for guest in &guests {
                connect(guest, address).expect(open);
            }
        }
    });
}

#[test]
fn the_host_is_closed_by_each_of_its_addresses_at_once() {
    on_private_host(|| {
        let _far = outside_with_v6();
        let world = World::with_egress(Egress::Nat);
        let a = world.guest(RED, 1);
        ip("addr add 192.168.77.1/24 dev lo");
        ip("addr add 203.0.113.7/32 dev lo");
        for own in [HOST, HOST6, "192.168.77.1", "203.0.113.7"] {
            let (_door, address) = listen(own);
            is_closed(&a, address);
        }
    });
}

/// Containers publish ports by sending what is for an address of the host elsewhere.
#[test]
fn what_the_host_publishes_for_its_containers_is_closed() {
    on_private_host(|| {
        let far = outside_with_v6();
        let world = World::with_egress(Egress::Nat);
        let a = world.guest(RED, 1);
        let (_container, address) = inside(far.as_fd(), || listen(OUTSIDE));
        output_of("nft", "add table ip docker");
        let chain = "{ type nat hook prerouting priority dstnat ; }";
        output_of("nft", &format!("add chain ip docker publish {chain}"));
        let rule = format!("ip daddr {HOST} tcp dport 8080 dnat to {address}");
        output_of("nft", &format!("add rule ip docker publish {rule}"));
        let published = SocketAddr::new(HOST.parse().expect("ip"), 8080);
        is_closed(&a, published);
        // It is our chain that closes it.
        output_of("nft", &format!("flush chain inet dormouse_{} prerouting", world.tag));
        connect(&a, published).expect("published");
    });
}

#[test]
fn a_forged_source_does_not_get_out() {
    on_private_host(|| {
        let far = outside_with_v6();
        let world = World::with_egress(Egress::Nat);
        let (a, b) = (world.guest(RED, 1), world.guest(RED, 2));
        let [b4, b6] = b.ips();
        let uplink = ip(&format!("-o addr show dev {}", uplink_name(&world.tag)));
        let routers = |len: &str| -> IpAddr {
            let host = uplink.split(' ').find_map(|word| word.strip_suffix(len)).expect("there");
            match host.parse().expect("ip") {
                IpAddr::V4(v4) => std::net::Ipv4Addr::from(u32::from(v4) + 1).into(),
                IpAddr::V6(v6) => std::net::Ipv6Addr::from(u128::from(v6) + 1).into(),
            }
        };
        let forgeries = [
            (OUTSIDE, [b4, "203.0.113.9".parse().expect("ip"), routers("/30")]),
            (OUTSIDE6, [b6, "2001:db8:9::9".parse().expect("ip"), routers("/126")]),
        ];
        for (target, sources) in forgeries {
            for source in sources {
                let inbox = inside(far.as_fd(), || UdpSocket::bind((target, 0))).expect("bound");
                inbox.set_read_timeout(Some(SOON)).expect("a deadline");
                let to = inbox.local_addr().expect("bound");
                a.run(|| {
                    let nodad = if source.is_ipv6() { " nodad" } else { "" };
                    ip(&format!("addr add {source} dev eth0{nodad}"));
                    let liar = UdpSocket::bind((source, 0)).expect("bound");
                    // The refusal may come back as an error of the send: both will do.
                    drop(liar.send_to(b"forged", to));
                    ip(&format!("addr del {source} dev eth0"));
                    let own = if source.is_ipv4() { a.ips()[0] } else { a.ips()[1] };
                    let honest = UdpSocket::bind((own, 0)).expect("bound");
                    honest.send_to(b"honest", to).expect("sent");
                });
                let mut word = [0; 6];
                inbox.recv_from(&mut word).expect("the honest one");
                assert_eq!(&word, b"honest", "as {source}");
            }
        }
    });
}

/// Routes back over the uplink are what the strict check asks for.
#[test]
fn a_host_that_checks_sources_strictly_lets_machines_out() {
    on_private_host(|| {
        let far = outside_with_v6();
        for which in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv4/conf/{which}/rp_filter");
            std::fs::write(path, "1").expect("writable");
        }
        let world = World::with_egress(Egress::Nat);
        let a = world.guest(RED, 1);
        let (_listener, address) = inside(far.as_fd(), || listen(OUTSIDE));
        connect(&a, address).expect("out");
    });
}
