//! The link of a virtual machine: real QEMU, a real tap, and a router that is a namespace of the test's.

use crate::client::Client;
use crate::template::template;
use crate::world::World;
use guest_proto::{LinkOrders, StreamId};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use shim_proto::RunSpec;
use shim_proto::spec::{EngineSpec, TapSpec};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
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
const MAC: [u8; 6] = [0x02, 0x64, 0x6d, 0x00, 0x00, 0x02];
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
        gateway_mac: MAC,
    }
}

#[track_caller]
fn ip(words: &str) -> String {
    place::run(Command::new("ip").args(words.split(' ')))
}

#[test]
fn a_machine_is_reached_by_its_addresses() {
    let world = World::new();
    let Some(template) = template() else { return };
    let router = Router::new();
    let spec = world.in_vm(world.sh(SERVE), &template.spec);
    let mut client = Client::start(router.link(spec));
    router.assert_is_served();
    let (said, _) = client.exec(StreamId(2), &["/bin/busybox", "ip", "-o", "addr"]);
    assert!(said.contains(&format!("eth0    inet {MACHINE_V4}/32")), "{said}");
    assert!(said.contains(&format!("eth0    inet6 {MACHINE_V6}/112")), "{said}");
    let (said, _) = client.exec(StreamId(4), &["/bin/busybox", "ip", "route"]);
    assert!(said.contains(&format!("default via {GATEWAY_V4} dev eth0")), "{said}");
    client.kill();
    world.assert_nothing_left();
}

#[test]
fn a_machine_without_a_link_has_loopback_alone() {
    let world = World::new();
    let Some(template) = template() else { return };
    let spec = world.in_vm(world.run(&["/bin/busybox", "ip", "-o", "addr"]), &template.spec);
    assert_eq!(world.run_to_end(spec).code, Some(0));
    let log = world.log();
    assert!(log.iter().any(|line| line.contains("inet 127.0.0.1/8")), "{log:?}");
    assert!(log.iter().all(|line| !line.contains("eth0")), "{log:?}");
    world.assert_nothing_left();
}

#[test]
fn a_missing_tap_is_named() {
    let world = World::new();
    let Some(template) = template() else { return };
    let router = Router::new();
    let spec = world.in_vm(world.sh("true"), &template.spec);
    let (code, message) = Client::fail_to_start(router.link_by(spec, "dmtest-9", orders()));
    assert_eq!(code, "network", "{message}");
    world.assert_nothing_left();
}
