//! The way out: on, off, and what stays closed. A fresh namespace plays the host's.

use crate::wan::{HOST, OUTSIDE, connect, listen, outside};
use crate::world::{RED, World, eventually, inside, ip, on_private_host, output_of};
use net::router::{Egress, uplink_name};
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;

fn forwards() -> String {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("readable").trim().to_owned()
}

#[test]
fn a_machine_gets_out_and_nobody_gets_in() {
    on_private_host(|| {
        let far = outside();
        let world = World::with_egress(Egress::Nat);
        let a = world.guest(RED, 1);

        let (listener, address) = inside(far.as_fd(), || listen(OUTSIDE));
        connect(&a, address).expect("out");
        let (_, seen_from) = listener.accept().expect("arrived");
        assert_eq!(seen_from.ip(), HOST.parse::<IpAddr>().expect("ip"), "translated");

        let (_door, address) = listen(HOST);
        connect(&a, address).expect_err("the host is closed");
        let (_door, address) = listen("0.0.0.0");
        let uplink = ip(&format!("-4 -o addr show dev {}", uplink_name(&world.tag)));
        let own = uplink.split(' ').find_map(|word| word.strip_suffix("/30")).expect("a /30");
        let at_uplink = SocketAddr::new(own.parse().expect("ip"), address.port());
        connect(&a, at_uplink).expect_err("by any of its addresses");
        let metadata = SocketAddr::from(([169, 254, 169, 254], 80));
        connect(&a, metadata).expect_err("link-local is closed");

        let (_door, address) = a.run(|| listen(&a.addrs.v4.to_string()));
        inside(far.as_fd(), || {
            ip(&format!("route add 100.64.0.0/10 via {HOST}"));
            TcpStream::connect_timeout(&address, std::time::Duration::from_millis(500))
                .expect_err("nobody gets in")
        });
    });
}

#[test]
fn ipv6_gets_out_where_the_host_forwards_it() {
    const HOST6: &str = "2001:db8::1";
    const OUTSIDE6: &str = "2001:db8::2";
    on_private_host(|| {
        let far = outside();
        inside(far.as_fd(), || ip(&format!("addr add {OUTSIDE6}/64 dev wan nodad")));
        ip(&format!("addr add {HOST6}/64 dev wan nodad"));
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").expect("writable");
        let world = World::with_egress(Egress::Nat);
        let a = world.guest(RED, 1);
        let (listener, address) = inside(far.as_fd(), || listen(OUTSIDE6));
        connect(&a, address).expect("out");
        let (_, seen_from) = listener.accept().expect("arrived");
        assert_eq!(seen_from.ip(), HOST6.parse::<IpAddr>().expect("ip"), "translated");
        let (_door, address) = listen(HOST6);
        connect(&a, address).expect_err("the host is closed");
    });
}

#[test]
fn the_way_out_outlives_a_daemon_and_goes_when_turned_off() {
    on_private_host(|| {
        let far = outside();
        assert_eq!(forwards(), "0");
        let world = World::with_egress(Egress::Nat);
        assert_eq!(forwards(), "1");
        let up = uplink_name(&world.tag);
        let before = ip(&format!("-o addr show dev {up}"));

        let a = world.guest(RED, 1);
        let (_listener, address) = inside(far.as_fd(), || listen(OUTSIDE));
        let world = world.restarted(Egress::Nat);
        assert_eq!(ip(&format!("-o addr show dev {up}")), before, "the same link");
        connect(&a, address).expect("out");

        let world = world.restarted(Egress::Off);
        assert_eq!(forwards(), "0");
        assert_eq!(output_of("nft", "list tables"), "");
        eventually("no link", || !ip("-o link show").contains(&up));
        connect(&a, address).expect_err("no way out");
        drop((a, world));
    });
}

#[test]
fn forwarding_stays_on_while_another_instance_needs_it() {
    on_private_host(|| {
        let mut first = World::with_egress(Egress::Nat);
        first.step_out();
        let mut second = World::with_egress(Egress::Nat);
        second.step_out();
        drop(first);
        assert_eq!(forwards(), "1");
        drop(second);
        assert_eq!(forwards(), "0", "the memory was handed on");
    });
}
