//! Slots: reuse, adoption, repair.

use crate::world::{BLUE, RED, World, addrs, ip, output_of};
use model::SlotId;
use net::Error;
use net::router::Egress;
use net::slot::{IDS_PER_SLOT, host_id_base};
use std::os::fd::AsRawFd;

pub(crate) fn routes_of(world: &World, link: &str) -> Vec<String> {
    let list = |family: &str| ip(&format!("{family} -o route show dev {link} proto static"));
    let both = world.router.open_in_router(|| list("-4") + &list("-6")).expect("inside");
    both.lines().map(str::to_owned).collect()
}

#[test]
fn a_slot_is_reused_and_carries_nothing_over() {
    let world = World::new();
    let first = world.guest(RED, 1);
    let (id, link) = (first.slot.id(), first.slot.link_name().to_owned());
    assert_eq!(routes_of(&world, &link).len(), 2);
    world.pool.give_back(first.slot).expect("reset");
    assert_eq!(routes_of(&world, &link), Vec::<String>::new());

    let second = world.guest(BLUE, 2);
    assert_eq!(second.slot.id(), id);
    let shown = second.run(|| ip("-o addr show dev eth0"));
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains(&second.addrs.v4.to_string()), "{shown}");
    assert!(shown.contains(&second.addrs.v6.to_string()), "{shown}");
    let stats = world.pool.stats();
    assert_eq!((stats.hits, stats.misses, stats.n_all), (1, 1, 1));
}

/// The side that closes first stays in TIME_WAIT for a minute, long after its machine.
#[test]
fn connections_of_the_last_machine_are_gone() {
    let world = World::new();
    let (a, b) = (world.guest(RED, 1), world.guest(RED, 2));
    for own in b.ips() {
        a.greets(&b, own).expect("a connection that b closes");
    }
    let table = |slot: &net::Slot| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}"));
        crate::world::inside(slot.netns(), || read("tcp").expect("v4") + &read("tcp6").expect("v6"))
    };
    assert_eq!(table(&b.slot).lines().count(), 4, "two headings, two connections");
    let id = b.slot.id();
    world.pool.give_back(b.slot).expect("reset");
    let again = world.pool.take().expect("the same slot");
    assert_eq!(again.id(), id);
    assert_eq!(table(&again).lines().count(), 2, "two headings");
}

#[test]
fn assigning_twice_changes_nothing() {
    let world = World::new();
    let mut a = world.guest(RED, 1);
    assert!(a.slot.carries(&a.addrs));
    let look = |a: &crate::world::Guest| a.run(|| ip("-o addr show dev eth0") + &ip("route"));
    let before = look(&a);
    world.pool.assign(&mut a.slot, &a.addrs).expect("again");
    assert_eq!(look(&a), before);
}

#[test]
fn assigning_another_machine_replaces_the_first() {
    let world = World::new();
    let mut a = world.guest(RED, 1);
    let b = world.guest(RED, 2);
    a.addrs = addrs(RED, 3);
    world.pool.assign(&mut a.slot, &a.addrs).expect("replaced");
    assert_eq!(routes_of(&world, a.slot.link_name()).len(), 2);
    for own in a.ips() {
        b.greets(&a, own).expect("under the new address");
    }
}

#[test]
fn a_machine_that_moves_takes_its_route_along() {
    let world = World::new();
    let mut old = world.guest(RED, 1);
    let new = world.guest(RED, 1);
    let peer = world.guest(RED, 2);
    for own in new.ips() {
        peer.greets(&new, own).expect("at the new place");
    }
    world.pool.unassign(&mut old.slot).expect("the old place is cleared");
    for own in new.ips() {
        peer.greets(&new, own).expect("still at the new place");
    }
}

#[test]
fn a_new_daemon_adopts_slots_with_their_machines() {
    let world = World::new();
    let (a, b) = (world.guest(RED, 1), world.guest(RED, 2));
    let (id, addrs) = (a.slot.id(), a.addrs);
    drop(a);
    let world = world.restarted(Egress::Off);
    assert_eq!(world.pool.unclaimed(), [SlotId(0), SlotId(1)]);
    let peer_link = b.slot.link_name().to_owned();
    assert_eq!(routes_of(&world, &peer_link).len(), 2, "routes outlive the daemon");

    let slot = world.pool.adopt(id).expect("adopted");
    assert!(slot.carries(&addrs));
    let a = crate::world::Guest { slot, addrs };
    for own in a.ips() {
        b.greets(&a, own).expect("nothing was interrupted");
    }
    assert!(matches!(world.pool.adopt(id), Err(Error::SlotNotUnclaimed { .. })));

    let fresh = world.guest(RED, 5);
    assert_eq!(fresh.slot.id(), SlotId(2), "numbers of unclaimed slots are not given away");
    drop(b);
    let recycled = world.pool.adopt(SlotId(1)).expect("adopted");
    world.pool.give_back(recycled).expect("reset");
    assert_eq!(routes_of(&world, &peer_link), Vec::<String>::new());
    assert!(world.pool.unclaimed().is_empty());
}

#[test]
fn a_slot_that_is_not_whole_is_refused_and_removed() {
    let world = World::new();
    let (a, b) = (world.guest(RED, 1), world.guest(RED, 2));
    let (a_link, b_id) = (a.slot.link_name().to_owned(), b.slot.id());
    let a_id = a.slot.id();
    drop((a, b));
    world.router.open_in_router(|| ip(&format!("link del {a_link}"))).expect("inside");
    let user_pin = world.instance().pins().join(format!("slot-{b_id}.user"));
    output_of("umount", user_pin.to_str().expect("text"));

    let world = world.restarted(Egress::Off);
    for id in [a_id, b_id] {
        assert!(matches!(world.pool.adopt(id), Err(Error::SlotNotWhole { .. })));
        world.pool.remove(id).expect("removed");
    }
    assert!(world.pool.unclaimed().is_empty());
    let left = std::fs::read_dir(world.instance().pins()).expect("pins").count();
    assert_eq!(left, 1, "only the router's pin");
    assert_eq!(world.guest(RED, 1).slot.id(), a_id, "the number is free again");
}

#[test]
fn refill_stops_at_the_high_watermark() {
    let world = World::new();
    assert_eq!(world.pool.refill().expect("filled"), 2);
    assert_eq!(world.pool.refill().expect("full"), 0);
    let taken = world.pool.take().expect("a hit");
    assert_eq!(world.pool.refill().expect("one free is not below the low mark"), 0);
    let also = world.pool.take().expect("a hit");
    assert_eq!(world.pool.refill().expect("filled"), 2);
    assert_ne!(taken.id(), also.id());
    let stats = world.pool.stats();
    assert_eq!((stats.hits, stats.misses, stats.n_free, stats.n_all), (2, 0, 2, 4));
}

#[test]
fn slots_taken_at_once_are_different_and_work() {
    let world = World::new();
    let guests: Vec<_> = std::thread::scope(|scope| {
        let world = &world;
        let takers: Vec<_> = (1..=24).map(|n| scope.spawn(move || world.guest(RED, n))).collect();
        takers.into_iter().map(|taker| taker.join().expect("no panic")).collect()
    });
    let ids: std::collections::BTreeSet<_> = guests.iter().map(|guest| guest.slot.id()).collect();
    assert_eq!(ids.len(), guests.len());
    for pair in guests.windows(2) {
        pair[0].greets(&pair[1], pair[1].addrs.v6.into()).expect("neighbours");
    }
}

#[test]
fn the_slot_belongs_to_its_user_namespace() {
    let world = World::new();
    let a = world.guest(RED, 1);
    let fd = |fd: i32| format!("/proc/{}/fd/{fd}", std::process::id());
    let join = format!(
        "--user={} --net={}",
        fd(a.slot.userns().as_raw_fd()),
        fd(a.slot.netns().as_raw_fd())
    );
    let map = output_of("nsenter", &format!("{join} cat /proc/self/uid_map /proc/self/gid_map"));
    let numbers: Vec<u32> = map.split_whitespace().map(|n| n.parse().expect("ids")).collect();
    let one = [0, host_id_base(a.slot.id()), IDS_PER_SLOT];
    assert_eq!(numbers, [one, one].concat());
    // Only the owner's root may do this; the routes that go with the link are not missed.
    output_of("nsenter", &format!("{join} ip link set lo down"));
    output_of("nsenter", &format!("{join} ip link set lo up"));
}

#[test]
fn a_helper_that_is_no_helper_is_told_apart() {
    let world = World::new();
    let check = |helper: &str| {
        let config =
            net::slot::PoolConfig { helper: helper.into(), low_watermark: 0, high_watermark: 0 };
        let router = std::sync::Arc::clone(&world.router);
        let pool = net::SlotPool::open(world.instance(), router, config).expect("a pool");
        let failed = pool.take().expect_err("no slot");
        assert_eq!(pool.stats().n_all, 0, "nothing stays behind after {failed}");
        failed
    };
    assert!(matches!(check("/nowhere/helper"), Error::Path { .. }));
    assert!(matches!(check("/bin/true"), Error::Helper { .. }));
    assert!(matches!(check("/bin/echo"), Error::Helper { .. }));
}
