//! The link of a virtual machine: real QEMU, a real tap, and a router that is a namespace of the test's.

use crate::client::Client;
use crate::template::template;
use crate::world::{PATIENCE, World};
use guest_proto::{LinkOrders, StreamId};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use shim_proto::RunSpec;
use shim_proto::spec::{EngineSpec, TapSpec};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;
use testkit::{place, wait};

/// A machine that answers.
pub(crate) const SERVE: &str =
    "busybox mkdir /www; echo here >/www/index.html; exec busybox httpd -f -p 7000 -h /www";

/// Where it does.
const PORT: u16 = 7000;

const TAP: &str = "dmtest-0";
/// Hardware address of both ends, as `net` has it.
const MACHINE_V4: Ipv4Addr = Ipv4Addr::new(10, 201, 3, 2);
const MACHINE_V6: Ipv6Addr = Ipv6Addr::new(0xfdaa, 0, 1, 0xa7b, 1, 0, 0, 2);
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// The router's own address, as machines see it in packets.
const ROUTER_V6: Ipv6Addr = Ipv6Addr::new(0xfdaa, 0, 0, 0, 0, 0, 0, 1);

/// First host id of the router's user namespace; nobody else's.
const ROUTER_ID_BASE: u32 = 3_100_000_000;

/// A network namespace with a tap; both end with this value or this process.
pub(crate) struct Router(place::Slot);

impl Router {
    pub(crate) fn new() -> Self {
        let router = Self(place::Slot::new(ROUTER_ID_BASE));
        router.inside(|| {
            ip("link set lo up");
            ip(&format!("addr add {GATEWAY_V4}/32 dev lo"));
            ip(&format!("addr add {ROUTER_V6}/128 dev lo"));
            ip(&format!("tuntap add dev {TAP} mode tap user 0 vnet_hdr"));
            ip(&format!("link set {TAP} address 02:64:6d:00:00:02 arp off addrgenmode none"));
            ip(&format!("link set {TAP} up"));
            ip(&format!("addr add {GATEWAY_V6}/64 dev {TAP} nodad"));
            ip(&format!("route add {MACHINE_V4}/32 dev {TAP} src {GATEWAY_V4}"));
            ip(&format!("-6 route add fdaa:0:1:a7b:1::/112 dev {TAP} src {ROUTER_V6}"));
        });
        router
    }

    /// The run with its link on this router's tap.
    pub(crate) fn link(&self, spec: RunSpec) -> RunSpec {
        self.link_by(spec, TAP, orders())
    }

    fn link_by(&self, mut spec: RunSpec, tap: &str, orders: LinkOrders) -> RunSpec {
        let EngineSpec::Microvm(microvm) = &mut spec.engine else { panic!("a virtual machine") };
        let router_path = self.0.network();
        microvm.monitor.tap = Some(TapSpec { router_path, name: tap.to_owned() });
        microvm.link = Some(orders);
        spec
    }

    /// Asks a machine that runs [`SERVE`] by both of its addresses.
    #[track_caller]
    pub(crate) fn assert_is_served(&self) {
        for address in [IpAddr::V4(MACHINE_V4), IpAddr::V6(MACHINE_V6)] {
            let said = self.inside(|| {
                wait::eventually("it listens", || {
                    let mut stream = TcpStream::connect((address, PORT)).ok()?;
                    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it reads");
                    let mut said = String::new();
                    stream.read_to_string(&mut said).expect("it answers");
                    Some(said)
                })
            });
            assert!(said.ends_with("here\n"), "{address}: {said}");
        }
    }

    /// Does this in the router's namespace.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let netns = File::open(self.0.network()).expect("it lives");
        let enter = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(netns.as_fd(), kind).expect("root may");
            work()
        };
        thread::scope(|scope| scope.spawn(enter).join())
            .unwrap_or_else(|panic| resume_unwind(panic))
    }
}

fn orders() -> LinkOrders {
    LinkOrders {
        v4: MACHINE_V4,
        v6: MACHINE_V6,
        v6_len: 112,
        gateway_v4: GATEWAY_V4,
        gateway_v6: GATEWAY_V6,
    }
}

#[track_caller]
fn ip(words: &str) -> String {
    place::run(Command::new("ip").args(words.split(' ')))
}

/// A machine that sleeps, in a virtual machine; `None`, and said, where there is no kernel for it.
fn sleeper(world: &World) -> Option<RunSpec> {
    Some(world.in_vm(world.run(&["/bin/sleep", "1000"]), &template()?.spec))
}

/// What a shell inside says; it must succeed.
#[track_caller]
fn ask(client: &mut Client, stream: u32, script: &str) -> String {
    let (said, ended) = client.exec(StreamId(stream), &["/bin/sh", "-c", script]);
    assert_eq!(ended.code, Some(0), "`{script}`: {said}");
    said.trim().to_owned()
}

#[test]
fn a_guest_and_its_router_reach_each_other() {
    let world = World::new();
    let router = Router::new();
    let Some(spec) = sleeper(&world) else { return };
    let mut client = Client::start(router.link(spec));
    for (stream, gateway) in [(2, GATEWAY_V4.to_string()), (4, format!("{GATEWAY_V6}%eth0"))] {
        ask(&mut client, stream, &format!("busybox ping -c 1 -W 20 {gateway}"));
    }
    for (stream, own) in [(6, IpAddr::from(GATEWAY_V4)), (8, ROUTER_V6.into())] {
        let listener = router.inside(|| TcpListener::bind((own, 0))).expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let answer = thread::spawn(move || {
            let (mut visitor, from) = listener.accept().expect("a visitor");
            visitor.write_all(b"hello").expect("sent");
            from.ip()
        });
        assert_eq!(ask(&mut client, stream, &format!("busybox nc {own} {port}")), "hello");
        let seen: IpAddr = if own.is_ipv4() { MACHINE_V4.into() } else { MACHINE_V6.into() };
        assert_eq!(answer.join().expect("answered"), seen);
    }
    client.exec_start(
        StreamId(10),
        &["/bin/busybox", "nc", "-ll", "-p", "80", "-e", "/bin/id"],
        false,
    );
    for to in [IpAddr::from(MACHINE_V4), MACHINE_V6.into()] {
        let visit = || TcpStream::connect_timeout(&SocketAddr::new(to, 80), PATIENCE).ok();
        let mut visit = router.inside(|| wait::eventually("the guest listens", visit));
        let mut said = String::new();
        visit.read_to_string(&mut said).expect("read");
        assert!(said.starts_with("uid=0"), "{said}");
    }
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn its_link_is_as_ordered() {
    let world = World::new();
    let router = Router::new();
    let Some(spec) = sleeper(&world) else { return };
    let mut client = Client::start(router.link(spec));
    let said = ask(&mut client, 2, "busybox ip -o addr | busybox tr -s ' '");
    let addresses: Vec<_> =
        said.lines().map(|line| line.split(' ').skip(1).take(3).collect::<Vec<_>>()).collect();
    let mut expected = vec![
        vec!["lo".to_owned(), "inet".to_owned(), "127.0.0.1/8".to_owned()],
        vec!["lo".to_owned(), "inet6".to_owned(), "::1/128".to_owned()],
    ];
    expected.push(vec!["eth0".to_owned(), "inet".to_owned(), format!("{MACHINE_V4}/32")]);
    expected.push(vec!["eth0".to_owned(), "inet6".to_owned(), format!("{MACHINE_V6}/112")]);
    assert_eq!(addresses, expected, "{said}");
    assert!(!said.contains("tentative"), "{said}");
    assert_eq!(
        ask(&mut client, 4, "busybox ip route"),
        format!("default via {GATEWAY_V4} dev eth0 onlink")
    );
    let said = ask(&mut client, 6, "busybox ip -6 route");
    let default = said.lines().find(|line| line.starts_with("default "));
    let default = default.unwrap_or_else(|| panic!("{said}"));
    assert!(default.starts_with(&format!("default via {GATEWAY_V6} dev eth0 ")), "{said}");
    let said = ask(&mut client, 8, "busybox ip link show dev eth0");
    assert!(said.contains("NOARP"), "{said}");
    client.kill();
    world.assert_nothing_left();
}

/// As in a slot of the container engine.
#[test]
fn the_settings_of_its_network_are_those_of_a_container() {
    let world = World::new();
    let Some(spec) = sleeper(&world) else { return };
    let mut client = Client::start(spec);
    let script = "cd /proc/sys/net; cat ipv4/ip_unprivileged_port_start ipv4/ping_group_range \
                  ipv6/conf/all/accept_dad ipv6/conf/eth0/accept_dad ipv6/conf/all/accept_ra \
                  ipv6/conf/eth0/accept_ra ipv6/conf/eth0/autoconf ipv4/conf/all/accept_redirects";
    let said = ask(&mut client, 2, script);
    assert_eq!(said, "0\n0\t2147483647\n0\n0\n0\n0\n0\n0");
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn a_machine_without_a_link_has_loopback_alone() {
    let world = World::new();
    let Some(spec) = sleeper(&world) else { return };
    let mut client = Client::start(spec);
    let said = ask(&mut client, 2, "busybox ip -o addr");
    assert!(said.lines().count() == 2 && said.lines().all(|line| line.contains(" lo ")), "{said}");
    let said = ask(&mut client, 4, "busybox ip -o link show up");
    assert!(said.lines().count() == 1 && said.contains(" lo:"), "{said}");
    assert_eq!(ask(&mut client, 6, "busybox ip route; busybox ip -6 route show dev eth0"), "");
    ask(&mut client, 8, "busybox ping -c 1 127.0.0.1 && busybox ping -c 1 ::1");
    client.kill();
    world.assert_nothing_left();
}

#[track_caller]
fn check_refused(tap: &str, orders: LinkOrders, code: &str, words: &str) {
    let world = World::new();
    let router = Router::new();
    let Some(spec) = sleeper(&world) else { return };
    let (found, message) = Client::fail_to_start(router.link_by(spec, tap, orders));
    assert_eq!(found, code, "{message}");
    assert!(message.contains(words), "{message}");
    world.assert_nothing_left();
}

#[test]
fn a_tap_that_is_not_there_is_a_failure_to_start() {
    check_refused("dmtest-1", orders(), "network", "tap");
}

#[test]
fn orders_that_the_guest_cannot_carry_out_are_a_failure_to_start() {
    check_refused(TAP, LinkOrders { v6_len: 129, ..orders() }, "guest", &MACHINE_V6.to_string());
}
