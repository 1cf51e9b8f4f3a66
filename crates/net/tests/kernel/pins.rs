//! Names in egress policies: what an answer of the resolver opens, for whom and how long.

use crate::policy::{ALL, MINUTE, Scene, at, check, domain, goes_through, policy};
use crate::wan::{OTHER, OTHER6, OUTSIDE, OUTSIDE6, connect};
use crate::world::{RED, SOON, addrs, eventually_within, on_private_host, output_of};
use net::router::{PIN_TTL_MAX, PIN_TTL_MIN, Pinner};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One port below a domain, another one of a domain itself.
pub(crate) const BY_NAME: &str = r#"{"default":"deny","rules":[
    {"action":"allow","to":"*.example.com","protocol":"tcp","ports":["443"]},
    {"action":"allow","to":"example.net","protocol":"tcp","ports":["80"]}]}"#;

#[test]
fn a_name_opens_what_its_own_rule_says_to_its_own_machine() {
    on_private_host(|| {
        let scene = Scene::new();
        let (a, b) = (scene.world.guest(RED, 1), scene.world.guest(RED, 2));
        scene.set(&a, BY_NAME);
        scene.set(&b, BY_NAME);
        check(&a, &[]);
        scene.pin(&a, "*.example.com", &[OUTSIDE, OTHER6]);
        check(&a, &[(OUTSIDE, 443), (OTHER6, 443)]);
        check(&b, &[]);
        scene.pin(&a, "example.net", &[OUTSIDE]);
        check(&a, &[(OUTSIDE, 443), (OTHER6, 443), (OUTSIDE, 80)]);
        scene.pin(&a, "unknown.example", &[OTHER]);
        check(&a, &[(OUTSIDE, 443), (OTHER6, 443), (OUTSIDE, 80)]);

        // The pins outlive a change of the policy that leaves their name in it.
        let shorter = r#"{"default":"deny","rules":[{"action":"allow","to":"example.net"}]}"#;
        scene.set(&a, shorter);
        check(&a, &ALL[..2]);
        // A name can be closed, too.
        let but = r#"{"default":"allow","rules":[{"action":"deny","to":"example.net"}]}"#;
        scene.set(&a, but);
        check(&a, &ALL[2..]);

        scene.world.router.remove_egress(&a.addrs).expect("removed");
        scene.set(&a, BY_NAME);
        check(&a, &[]);
    });
}

#[test]
fn a_pin_lives_as_long_as_the_answer_within_bounds() {
    on_private_host(|| {
        let scene = Scene::new();
        let a = scene.world.guest(RED, 1);
        scene.set(&a, BY_NAME);
        let name = domain("example.net");
        let seconds = |ttl: Duration| {
            let answer = [(OUTSIDE.parse().expect("ip"), ttl)];
            scene.world.router.pin(&a.addrs, &name, &answer).expect("pinned");
            let sets = || output_of("nft", "-j list sets inet");
            let listed = scene.world.router.open_in_router(sets).expect("inside");
            let listed: serde_json::Value = serde_json::from_str(&listed).expect("json");
            let sets = listed["nftables"].as_array().expect("sets").iter();
            let pins: Vec<_> = sets.filter_map(|item| item["set"]["elem"].as_array()).collect();
            let pins = pins.into_iter().flatten().filter(|pin| pin["elem"]["expires"].is_u64());
            let lives: Vec<u64> = pins.filter_map(|pin| pin["elem"]["timeout"].as_u64()).collect();
            assert_eq!(lives.len(), 1, "renewed, not doubled");
            lives[0]
        };
        assert_eq!(seconds(MINUTE), 60);
        assert_eq!(seconds(Duration::from_secs(300)), 300);
        assert_eq!(seconds(Duration::from_secs(30)), 30);
        assert_eq!(seconds(Duration::ZERO), PIN_TTL_MIN.as_secs());
        assert_eq!(seconds(Duration::MAX), PIN_TTL_MAX.as_secs());
    });
}

/// Takes the time of the shortest pin: the kernel alone ends it.
#[test]
fn a_pin_ends_by_itself_and_its_connections_live_on() {
    on_private_host(|| {
        let scene = Scene::new();
        let a = scene.world.guest(RED, 1);
        scene.set(&a, BY_NAME);
        let answer = [(OUTSIDE.parse().expect("ip"), Duration::ZERO)];
        let begun = Instant::now();
        scene.world.router.pin(&a.addrs, &domain("example.net"), &answer).expect("pinned");
        let [mut here, mut there] = scene.connection(&a);
        eventually_within(PIN_TTL_MIN + SOON, "the pin ends", || {
            let tried = connect(&a, at(OUTSIDE, 80)).map_err(|e| e.kind());
            if tried.is_ok() {
                scene.listeners[0].accept().expect("arrived");
            }
            tried.is_err_and(|kind| kind == ErrorKind::HostUnreachable)
        });
        // The kernel counts the life of an element in ticks of its clock.
        let tick = Duration::from_millis(20);
        assert!(begun.elapsed() + tick >= PIN_TTL_MIN, "{:?}", begun.elapsed());
        goes_through(&mut here, &mut there);
        goes_through(&mut there, &mut here);
    });
}

#[test]
fn policies_pins_and_connections_outlive_the_daemon() {
    on_private_host(|| {
        let mut scene = Scene::new();
        let (a, b) = (scene.world.guest(RED, 1), scene.world.guest(RED, 2));
        scene.set(&a, BY_NAME);
        scene.set(&b, r#"{"default":"deny"}"#);
        scene.pin(&a, "example.net", &[OUTSIDE, OTHER6]);
        let [mut here, mut there] = scene.connection(&a);
        let stored = [(a.addrs, policy(BY_NAME))];
        scene.world = scene.world.restarted_with(&stored);
        check(&a, &[(OUTSIDE, 80), (OTHER6, 80)]);
        goes_through(&mut here, &mut there);
        check(&b, &ALL);
    });
}

/// What the resolver's process does: it is inside the router and has no more than that.
#[test]
fn a_process_inside_the_router_pins() {
    on_private_host(|| {
        let scene = Scene::new();
        let (a, nobody) = (scene.world.guest(RED, 1), addrs(RED, 9));
        scene.set(&a, BY_NAME);
        let pinner = scene.world.router.open_in_router(Pinner::open);
        let mut pinner = pinner.expect("inside").expect("open");
        let name = domain("example.net");
        let many: Vec<(IpAddr, Duration)> = (0..200u8)
            .flat_map(|n| [[10, 7, 7, n].into(), [0x2001, 0xdb8, 7, 0, 0, 0, 0, n.into()].into()])
            .chain([OUTSIDE.parse().expect("ip")])
            .map(|addr| (addr, MINUTE))
            .collect();
        pinner.pin(&a.addrs, &name, &many).expect("pinned");
        pinner.pin(&a.addrs, &name, &[]).expect("nothing to pin");
        check(&a, &[(OUTSIDE, 80)]);
        pinner.pin(&nobody, &name, &many).expect("no policy, no pin");

        let answer = [(OUTSIDE.parse().expect("ip"), MINUTE)];
        let mut times: Vec<Duration> = (0..200)
            .map(|_| {
                let begun = Instant::now();
                pinner.pin(&a.addrs, &name, &answer).expect("pinned");
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("one pin: p50 {:?}, p99 {:?}", times[100], times[198]);
    });
}

/// The resolver pins while machines come and go; neither may make the other fail.
#[test]
fn pins_and_changes_of_rules_do_not_get_in_each_others_way() {
    on_private_host(|| {
        let scene = Scene::new();
        let router = &scene.world.router;
        let (a, b) = (scene.world.guest(RED, 1), scene.world.guest(RED, 2));
        scene.set(&a, BY_NAME);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        scene.pin(&a, "example.net", &[OUTSIDE, OUTSIDE6]);
                    }
                });
            }
            let changing = [b.addrs, addrs(RED, 7)].map(|machine| {
                scope.spawn(move || {
                    for _ in 0..25 {
                        router.set_egress(&machine, &policy(BY_NAME)).expect("set");
                        router.remove_egress(&machine).expect("removed");
                    }
                })
            });
            let changed = changing.map(|thread| thread.join());
            is_over.store(true, Ordering::Relaxed);
            changed.into_iter().for_each(|changed| changed.expect("no refusal"));
        });
        check(&a, &[(OUTSIDE, 80), (OUTSIDE6, 80)]);
        check(&b, &ALL);
    });
}

#[test]
fn pins_of_one_machine_are_bounded_and_refused_as_a_whole() {
    on_private_host(|| {
        let scene = Scene::new();
        let a = scene.world.guest(RED, 1);
        scene.set(&a, BY_NAME);
        let name = domain("example.net");
        let flood = |n: u8| -> Vec<(IpAddr, Duration)> {
            (0..=255).map(|host| ([10, 7, n, host].into(), MINUTE)).collect()
        };
        let failed = (0..=255).find_map(|n| {
            scene.world.router.pin(&a.addrs, &name, &flood(n)).err().map(|error| (n, error))
        });
        let (n, error) = failed.expect("bounded");
        assert!((3..=8).contains(&n), "after {n} times 256: {error}");
        let net::Error::Netlink { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.raw_os_error(), Some(rustix::io::Errno::NFILE.raw_os_error()));
    });
}
