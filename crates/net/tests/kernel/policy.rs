//! Egress policies against the real kernel.

use crate::pins::BY_NAME;
use crate::reach::ping;
use crate::wan::{OTHER, OTHER6, OUTSIDE, OUTSIDE6, connect, listen, outside_with_v6};
use crate::world::{Guest, RED, SOON, World, inside, ip, on_private_host, output_of};
use model::spec::egress::{Domain, EgressPolicy};
use net::MachineAddrs;
use net::router::{DNS_PORT, DNS_V6, Egress};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// How long pins of tests live, which is longer than any test.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A host with a world outside that listens on ports 80 and 443 of four addresses.
pub(crate) struct Scene {
    pub(crate) world: World,
    far: File,
    pub(crate) listeners: Vec<TcpListener>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let far = outside_with_v6();
        let listeners = inside(far.as_fd(), || {
            ip(&format!("addr add {OTHER}/24 dev wan"));
            ip(&format!("addr add {OTHER6}/64 dev wan nodad"));
            [80, 443].map(|port| TcpListener::bind(("::", port)).expect("bound")).into()
        });
        Self { world: World::with_egress(Egress::Nat), far, listeners }
    }

    pub(crate) fn set(&self, guest: &Guest, text: &str) {
        let policy = policy(text);
        policy.validate().expect("valid");
        self.world.router.set_egress(&guest.addrs, &policy).expect("set");
    }

    pub(crate) fn pin(&self, guest: &Guest, name: &str, addrs: &[&str]) {
        let answers: Vec<_> = addrs.iter().map(|a| (a.parse().expect("ip"), MINUTE)).collect();
        self.world.router.pin(&guest.addrs, &domain(name), &answers).expect("pinned");
    }

    /// The two ends of a connection of the guest to port 80 outside.
    pub(crate) fn connection(&self, guest: &Guest) -> [TcpStream; 2] {
        let here = connect(guest, at(OUTSIDE, 80)).expect("out");
        let (there, _) = self.listeners[0].accept().expect("arrived");
        for end in [&here, &there] {
            end.set_read_timeout(Some(SOON)).expect("a deadline");
        }
        [here, there]
    }
}

pub(crate) fn policy(text: &str) -> EgressPolicy {
    serde_json::from_str(text).expect("a policy")
}

pub(crate) fn domain(text: &str) -> Domain {
    text.parse().expect("a domain")
}

pub(crate) fn at(addr: &str, port: u16) -> SocketAddr {
    SocketAddr::new(addr.parse().expect("ip"), port)
}

pub(crate) fn goes_through(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"word").expect("sent");
    let mut word = [0; 4];
    to.read_exact(&mut word).expect("arrived");
}

/// Checks which of the eight doors outside the guest gets through; all others refuse it.
#[track_caller]
pub(crate) fn check(guest: &Guest, expected: &[(&str, u16)]) {
    let doors = std::thread::scope(|scope| {
        let knock = |(addr, port)| move || connect(guest, at(addr, port)).map_err(|e| e.kind());
        let knocks = ALL.map(|door| (door, scope.spawn(knock(door))));
        knocks.map(|(door, knock)| (door, knock.join().expect("no panic").map(drop)))
    });
    for (door, tried) in doors {
        let is_open = expected.contains(&door);
        let wanted = if is_open { Ok(()) } else { Err(ErrorKind::HostUnreachable) };
        assert_eq!(tried, wanted, "{door:?}");
    }
}

pub(crate) const ALL: [(&str, u16); 8] = [
    (OUTSIDE, 80),
    (OUTSIDE, 443),
    (OTHER, 80),
    (OTHER, 443),
    (OUTSIDE6, 80),
    (OUTSIDE6, 443),
    (OTHER6, 80),
    (OTHER6, 443),
];

#[test]
fn the_first_rule_that_fits_decides() {
    on_private_host(|| {
        let scene = Scene::new();
        let (a, other) = (scene.world.guest(RED, 1), scene.world.guest(RED, 2));
        check(&a, &ALL);
        scene.set(&a, r#"{"default":"deny"}"#);
        check(&a, &[]);
        check(&other, &ALL);
        scene.set(&a, r#"{"default":"deny","rules":[{"action":"allow","to":"198.51.100.2"}]}"#);
        check(&a, &ALL[..2]);
        scene.set(&a, r#"{"default":"deny","rules":[{"action":"allow","to":"2001:db8::/32"}]}"#);
        check(&a, &ALL[4..]);
        scene.set(
            &a,
            r#"{"default":"deny","rules":[
                {"action":"allow","to":"*","protocol":"tcp","ports":["400-500","443"]}]}"#,
        );
        check(&a, &[ALL[1], ALL[3], ALL[5], ALL[7]]);
        scene.set(
            &a,
            r#"{"default":"deny","rules":[
                {"action":"deny","to":"198.51.100.3"},
                {"action":"deny","to":"2001:db8::3","ports":["80"]},
                {"action":"allow","to":"198.51.100.0/24"},
                {"action":"allow","to":"::/0"}]}"#,
        );
        check(&a, &[ALL[0], ALL[1], ALL[4], ALL[5], ALL[7]]);
        scene.set(
            &a,
            r#"{"default":"allow","rules":[
                {"action":"deny","to":"*","protocol":"udp"},
                {"action":"deny","to":"198.51.100.0/24","ports":["80"]}]}"#,
        );
        check(&a, &[&[ALL[1], ALL[3]], &ALL[4..]].concat());
        scene.set(&a, r#"{"default":"allow","rules":[]}"#);
        check(&a, &ALL);
        scene.set(&a, r#"{"default":"deny"}"#);
        check(&a, &[]);
        for _ in 0..2 {
            scene.world.router.remove_egress(&a.addrs).expect("removed, also twice");
        }
        check(&a, &ALL);
    });
}

#[test]
fn protocols_are_told_apart() {
    on_private_host(|| {
        let scene = Scene::new();
        let a = scene.world.guest(RED, 1);
        let inbox = inside(scene.far.as_fd(), || UdpSocket::bind("[::]:80")).expect("bound");
        inbox.set_read_timeout(Some(Duration::from_secs(1))).expect("a deadline");
        let gets_through = |guest: &Guest, to: &str| {
            let any = if to.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
            let socket = guest.run(|| UdpSocket::bind(any)).expect("bound");
            // A refusal may come back as an error of the send.
            drop(socket.send_to(b"word", at(to, 80)));
            inbox.recv(&mut [0; 4]).is_ok()
        };
        for (text, udp, icmp, tcp) in [
            (r#"{"action":"allow","to":"*","protocol":"udp"}"#, true, false, false),
            (r#"{"action":"allow","to":"*","protocol":"icmp"}"#, false, true, false),
            (r#"{"action":"allow","to":"*","protocol":"tcp"}"#, false, false, true),
            (r#"{"action":"allow","to":"*","ports":["80"]}"#, true, false, true),
            (r#"{"action":"allow","to":"*"}"#, true, true, true),
        ] {
            scene.set(&a, &format!(r#"{{"default":"deny","rules":[{text}]}}"#));
            for to in [OUTSIDE, OUTSIDE6] {
                assert_eq!(gets_through(&a, to), udp, "{text} udp {to}");
                assert_eq!(ping(&a, to.parse().expect("ip")).is_ok(), icmp, "{text} icmp {to}");
                assert_eq!(connect(&a, at(to, 80)).is_ok(), tcp, "{text} tcp {to}");
            }
        }
    });
}

#[test]
fn a_policy_does_not_touch_the_own_network_and_the_resolver() {
    on_private_host(|| {
        let scene = Scene::new();
        let (a, b) = (scene.world.guest(RED, 1), scene.world.guest(RED, 2));
        scene.set(&a, r#"{"default":"deny","rules":[{"action":"deny","to":"*"}]}"#);
        for (own, of_b) in a.ips().into_iter().zip(b.ips()) {
            a.greets(&b, of_b).expect("a neighbour");
            b.greets(&a, own).expect("a neighbour");
        }
        let resolver = SocketAddr::from((DNS_V6, DNS_PORT));
        let bound = scene.world.router.open_in_router(|| TcpListener::bind(resolver));
        let _resolver = bound.expect("inside").expect("bound");
        connect(&a, resolver).expect("the resolver");
    });
}

/// A machine owns a whole /112, so any of its addresses must meet its policy.
#[test]
fn another_address_of_the_machine_meets_the_same_policy() {
    on_private_host(|| {
        let scene = Scene::new();
        let a = scene.world.guest(RED, 1);
        let inbox = inside(scene.far.as_fd(), || UdpSocket::bind((OUTSIDE6, 80))).expect("bound");
        inbox.set_read_timeout(Some(Duration::from_secs(1))).expect("a deadline");
        let mut segments = a.addrs.v6.segments();
        segments[7] = 0xbeef;
        let second = std::net::Ipv6Addr::from(segments);
        a.run(|| ip(&format!("addr add {second}/128 dev eth0 nodad")));
        let is_heard = || {
            let socket = a.run(|| UdpSocket::bind((second, 0))).expect("bound");
            drop(socket.send_to(b"word", at(OUTSIDE6, 80)));
            inbox.recv(&mut [0; 4]).is_ok()
        };
        assert!(is_heard(), "it is the machine's");
        scene.set(&a, r#"{"default":"deny"}"#);
        assert!(!is_heard());
    });
}

#[test]
fn open_connections_are_judged_anew_when_the_policy_changes() {
    on_private_host(|| {
        let scene = Scene::new();
        let a = scene.world.guest(RED, 1);
        let [mut here, mut there] = scene.connection(&a);
        let open = r#"{"default":"deny","rules":[{"action":"allow","to":"198.51.100.2"}]}"#;
        for text in [open, r#"{"default":"allow","rules":[{"action":"deny","to":"10.0.0.0/8"}]}"#] {
            scene.set(&a, text);
            goes_through(&mut here, &mut there);
        }
        scene.set(&a, r#"{"default":"deny"}"#);
        there.set_read_timeout(Some(Duration::from_millis(500))).expect("a deadline");
        here.write_all(b"word").expect("buffered");
        let silence = there.read(&mut [0; 4]).expect_err("nothing arrives");
        assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        // Allowed again, the kernel's repetition of the word arrives.
        scene.set(&a, open);
        there.set_read_timeout(Some(SOON)).expect("a deadline");
        there.read_exact(&mut [0; 4]).expect("arrived");
    });
}

#[test]
fn the_largest_policy_is_taken_and_leaves_nothing() {
    on_private_host(|| {
        let scene = Scene::new();
        let a = scene.world.guest(RED, 1);
        let list = || output_of("nft", "-j -t list table inet dormouse");
        let shown = || scene.world.router.open_in_router(list).expect("inside");
        let n_chains = |text: &str| text.matches(r#"{"chain""#).count();
        let n_sets = |text: &str| text.matches(r#"{"set""#).count();
        let before = shown();
        let ports: Vec<String> = (0..16).map(|n| format!("{0}-{0}", 1000 + 3 * n)).collect();
        let rules: Vec<_> = (0..64)
            .map(|n| {
                serde_json::json!({ "action": "allow", "to": format!("*.n{n}.example.com"),
                                    "ports": ports })
            })
            .collect();
        let text = serde_json::json!({ "default": "deny", "rules": rules }).to_string();
        let begun = Instant::now();
        scene.set(&a, &text);
        println!("64 rules with 16 ports each: {:?}", begun.elapsed());
        scene.pin(&a, "*.n63.example.com", &[OUTSIDE]);
        let with = shown();
        assert_eq!(n_chains(&with), n_chains(&before) + 1);
        check(&a, &[]);
        let begun = Instant::now();
        scene.world.router.remove_egress(&a.addrs).expect("removed");
        println!("removed: {:?}", begun.elapsed());
        let after = shown();
        assert_eq!((n_chains(&after), n_sets(&after)), (n_chains(&before), n_sets(&before)));
        check(&a, &ALL);
    });
}

/// Without a way out a policy waits for one.
#[test]
fn a_policy_can_be_set_without_a_way_out() {
    let world = World::new();
    let a = world.guest(RED, 1);
    let never: MachineAddrs = crate::world::addrs(RED, 7);
    world.router.set_egress(&a.addrs, &policy(BY_NAME)).expect("set");
    world.router.remove_egress(&never).expect("nothing to remove");
    let (_door, address) = listen("127.0.0.1");
    let host = SocketAddr::new(OUTSIDE.parse().expect("ip"), address.port());
    connect(&a, host).expect_err("no way out");
}
