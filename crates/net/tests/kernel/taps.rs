//! Taps: who reaches whom through them, reuse of numbers, adoption, repair.

use crate::doors::{asks_from, in_router};
use crate::reach::{nodad, ping, ping_as, send};
use crate::slots::routes_of;
use crate::vm::{Neighbours, Vm, open_queue, persist, set_neighbours, text};
use crate::wan::{HOST, OUTSIDE, listen, outside};
use crate::world::{
    BLUE, Guest, RED, SOON, World, addrs, eventually, greet, inside, ip, on_private_host, output_of,
};
use model::SlotId;
use net::router::{API_PORT, API_V6, DNS_PORT, DNS_V4, DNS_V6, Egress, ROUTER_V4, ROUTER_V6};
use net::tap::MAC;
use net::{Error, GuestNetwork};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::thread::Gid;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of `struct virtio_net_hdr` and of an Ethernet header.
const CARD_HEADER: usize = 10;
const ETHERNET_HEADER: usize = 14;

fn links(world: &World) -> String {
    world.router.open_in_router(|| ip("-o -d link show")).expect("inside")
}

#[test]
fn a_virtual_machine_and_a_machine_in_a_slot_reach_each_other() {
    let world = World::new();
    let a = world.guest(RED, 1);
    for (nth, neighbours) in [(2, Neighbours::Permanent), (3, Neighbours::None)] {
        let vm = Vm::with_neighbours(&world, RED, nth, neighbours);
        for (own, its) in a.ips().into_iter().zip(vm.ips()) {
            assert_eq!(greet(a.slot.netns(), vm.netns(), its).expect("there"), own);
            assert_eq!(greet(vm.netns(), a.slot.netns(), own).expect("and back"), its);
            ping(&a, its).expect("it answers");
            ping_as(Gid::ROOT, vm.netns(), own).expect("and is answered");
        }
    }
}

#[test]
fn virtual_machines_of_one_network_reach_each_other() {
    let world = World::new();
    let (a, b) = (Vm::new(&world, RED, 1), Vm::new(&world, RED, 2));
    for (own, its) in a.ips().into_iter().zip(b.ips()) {
        assert_eq!(greet(a.netns(), b.netns(), its).expect("there"), own);
        assert_eq!(greet(b.netns(), a.netns(), own).expect("and back"), its);
    }
}

#[test]
fn another_network_is_out_of_reach() {
    let world = World::new();
    let (red, other_red) = (Vm::new(&world, RED, 1), world.guest(RED, 2));
    let (blue, other_blue) = (Vm::new(&world, BLUE, 3), world.guest(BLUE, 4));
    for (from, to, ips) in [
        (red.netns(), blue.netns(), blue.ips()),
        (red.netns(), other_blue.slot.netns(), other_blue.ips()),
        (other_red.slot.netns(), blue.netns(), blue.ips()),
    ] {
        for at in ips {
            let failed = greet(from, to, at).expect_err("no way");
            assert_eq!(failed.kind(), ErrorKind::HostUnreachable, "{at}: {failed}");
        }
    }
}

#[test]
fn a_virtual_machine_asks_the_resolver_and_the_api_alone() {
    let world = World::new();
    let vm = Vm::new(&world, RED, 1);
    for (resolver, own) in [IpAddr::from(DNS_V4), DNS_V6.into()].into_iter().zip(vm.ips()) {
        let at = SocketAddr::new(resolver, DNS_PORT);
        let udp = in_router(&world, || UdpSocket::bind(at));
        assert_eq!(asks_from(vm.netns(), &udp, SOON).expect("an answer").ip(), own);
    }
    let api = SocketAddr::from((API_V6, API_PORT));
    let _api = in_router(&world, || TcpListener::bind(api));
    vm.run(|| TcpStream::connect_timeout(&api, SOON)).expect("the API");
    for own in [IpAddr::from(ROUTER_V4), ROUTER_V6.into()] {
        let door = in_router(&world, || TcpListener::bind((own, 0)));
        let address = door.local_addr().expect("bound");
        let refused = vm.run(|| TcpStream::connect_timeout(&address, SOON)).expect_err("closed");
        assert_eq!(refused.kind(), ErrorKind::HostUnreachable, "{address}");
        ping_as(Gid::ROOT, vm.netns(), own).expect_err("it does not answer");
    }
    for guest in vm.ips() {
        let listener = vm.run(|| TcpListener::bind((guest, 0))).expect("bound");
        let address = listener.local_addr().expect("bound");
        let visit = world.router.open_in_router(|| TcpStream::connect_timeout(&address, SOON));
        visit.expect("inside").expect("a visitor gets in");
    }
}

/// The forged datagram leaves first; were it let through, it would arrive first.
#[test]
fn a_forged_source_dies_at_its_own_tap() {
    let world = World::new();
    let (mallory, alice) = (Vm::new(&world, RED, 1), world.guest(RED, 2));
    let (bob, vm) = (world.guest(RED, 3), Vm::new(&world, RED, 4));
    let absent = addrs(RED, 5);
    let forgeries = [
        [bob.addrs.v4.into(), vm.addrs.v4.into(), absent.v4.into(), IpAddr::from(ROUTER_V4)],
        [bob.addrs.v6.into(), vm.addrs.v6.into(), absent.v6.into(), ROUTER_V6.into()],
    ];
    let resolvers = [IpAddr::from(DNS_V4), DNS_V6.into()];
    for (family, own) in mallory.ips().into_iter().enumerate() {
        let inboxes = [
            alice.run(|| UdpSocket::bind((alice.ips()[family], 0))).expect("an inbox"),
            in_router(&world, || UdpSocket::bind((resolvers[family], DNS_PORT))),
        ];
        for (source, inbox) in
            forgeries[family].into_iter().flat_map(|f| inboxes.iter().map(move |i| (f, i)))
        {
            let to = inbox.local_addr().expect("bound");
            if source == to.ip() {
                continue; // A guest that has the address of its peer speaks to itself.
            }
            mallory.run(|| {
                ip(&format!("addr add {source} dev eth0{}", nodad(source)));
                send(source, to, b"forged");
                send(own, to, b"honest");
                ip(&format!("addr del {source} dev eth0"));
            });
            inbox.set_read_timeout(Some(SOON)).expect("a deadline");
            let mut word = [0; 6];
            let (_, from) = inbox.recv_from(&mut word).expect("the honest one");
            assert_eq!((&word, from.ip()), (b"honest", own), "as {source} to {to}");
        }
    }
}

#[test]
fn every_address_of_its_prefix_leads_to_a_virtual_machine() {
    let world = World::new();
    let (vm, a) = (Vm::new(&world, RED, 1), world.guest(RED, 2));
    let mut segments = vm.addrs.v6.segments();
    segments[7] = 0xbeef;
    let other = Ipv6Addr::from(segments);
    vm.run(|| ip(&format!("addr add {other}/128 dev eth0 nodad")));
    greet(a.slot.netns(), vm.netns(), other.into()).expect("there, too");
}

#[test]
fn a_virtual_machine_gets_out_where_machines_do() {
    on_private_host(|| {
        let far = outside();
        let world = World::with_egress(Egress::Nat);
        let vm = Vm::new(&world, RED, 1);
        let (listener, address) = inside(far.as_fd(), || listen(OUTSIDE));
        vm.run(|| TcpStream::connect_timeout(&address, SOON)).expect("out");
        let (_, seen_from) = listener.accept().expect("arrived");
        assert_eq!(seen_from.ip(), HOST.parse::<IpAddr>().expect("ip"), "translated");
    });
}

/// What the first frames look like that a guest finds in its card.
#[test]
fn the_first_packet_comes_without_a_question_before_it() {
    let world = World::new();
    let (a, its) = (world.guest(RED, 1), addrs(RED, 2));
    let mut tap = world.pool.taps().take().expect("a tap");
    let told = GuestNetwork::of(&its);
    assert_eq!((told.v4, told.v4_len, told.v6, told.v6_len), (its.v4, 32, its.v6, 112));
    assert_eq!(told.mac, MAC);
    assert_eq!(told.gateway_v4, ROUTER_V4);
    world.pool.taps().assign(&mut tap, &its).expect("addresses");
    let queue = world.pool.taps().open_queue(&tap).expect("its queue");
    for (to, kind) in [(IpAddr::from(its.v4), 0x0800), (its.v6.into(), 0x86dd)] {
        let sender = a.run(|| UdpSocket::bind((a.ips()[usize::from(to.is_ipv6())], 0)));
        let sender = sender.expect("bound");
        // Until the line is up, frames are lost.
        let frame = loop {
            sender.send_to(b"hello", (to, 7)).expect("sent");
            if let Some(frame) = read(&queue, Duration::from_millis(20)) {
                break frame;
            }
        };
        let ethernet = &frame[CARD_HEADER..];
        assert_eq!(&ethernet[..6], &told.mac, "to the guest's card");
        assert_eq!(&ethernet[6..12], &told.mac, "from the gateway");
        assert_eq!(u16::from_be_bytes([ethernet[12], ethernet[13]]), kind, "the packet itself");
        assert!(ethernet[ETHERNET_HEADER..].ends_with(b"hello"));
    }
}

/// The next frame for the guest alone, unless none comes; those for all must be no questions.
fn read(queue: &OwnedFd, longest: Duration) -> Option<Vec<u8>> {
    let deadline = Instant::now() + longest;
    loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()));
        let mut waiting = [PollFd::new(queue, PollFlags::IN)];
        if poll(&mut waiting, Some(&left.expect("short"))).expect("waited") == 0 {
            return None;
        }
        let mut frame = vec![0; 2048];
        let len = rustix::io::read(queue, &mut frame[..]).expect("a frame");
        frame.truncate(len);
        let ethernet = &frame[CARD_HEADER..];
        if ethernet[0] & 1 == 0 {
            return Some(frame);
        }
        let is_arp = ethernet[12..14] == [0x08, 0x06];
        let is_solicitation = ethernet[12..14] == [0x86, 0xdd]
            && ethernet[ETHERNET_HEADER + 6] == 58
            && ethernet[ETHERNET_HEADER + 40] == 135;
        assert!(!is_arp && !is_solicitation, "{ethernet:02x?}");
    }
}

/// What a guest says about hardware addresses is not even heard.
#[test]
fn a_claim_to_the_address_of_another_is_not_heard() {
    let world = World::new();
    let (mallory, alice, bob) = (Vm::new(&world, RED, 1), world.guest(RED, 2), world.guest(RED, 3));
    let link = mallory.tap.link_name();
    let shown = world.router.open_in_router(|| ip(&format!("-o link show dev {link}")));
    assert!(shown.expect("inside").contains("NOARP"));
    mallory.run(|| {
        for forged in alice.ips() {
            ip(&format!("addr add {forged} dev eth0{}", nodad(forged)));
        }
        for setting in ["ipv4/conf/eth0/arp_notify", "ipv6/conf/eth0/ndisc_notify"] {
            std::fs::write(format!("/proc/sys/net/{setting}"), "1").expect("writable");
        }
        // A changed hardware address is announced, to all neighbours, with each own address.
        ip("link set eth0 address 02:00:00:00:00:01");
        ip(&format!("link set eth0 address {}", text(MAC)));
        for forged in alice.ips() {
            ip(&format!("addr del {forged} dev eth0"));
        }
        set_neighbours(&GuestNetwork::of(&mallory.addrs));
    });
    for (own, its) in alice.ips().into_iter().zip(mallory.ips()) {
        bob.greets(&alice, own).expect("still alice");
        assert_eq!(greet(mallory.netns(), alice.slot.netns(), own).expect("alice"), its);
    }
    let neighbours = world.router.open_in_router(|| ip(&format!("neigh show dev {link}")));
    let learnt = neighbours.expect("inside");
    let learnt: Vec<_> = learnt.lines().filter(|line| !line.contains("NOARP")).collect();
    assert_eq!(learnt, Vec::<&str>::new(), "nothing is learnt");
}

#[test]
fn a_number_is_in_use_once() {
    let world = World::new();
    let (slots, taps) = thread::scope(|scope| {
        let pool = &world.pool;
        let takers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| (pool.take().expect("a slot"), pool.taps().take().expect("a tap")))
            })
            .collect();
        let taken = takers.into_iter().map(|taker| taker.join().expect("no panic"));
        taken.unzip::<_, _, Vec<_>, Vec<_>>()
    });
    let numbers = |slots: &[net::Slot], taps: &[net::Tap]| -> BTreeSet<SlotId> {
        slots.iter().map(net::Slot::id).chain(taps.iter().map(net::Tap::id)).collect()
    };
    let taken = numbers(&slots, &taps);
    assert_eq!(taken, (0..32).map(SlotId).collect());
    assert_eq!(world.pool.stats().n_all, 32);
    drop((slots, taps));

    let world = world.restarted(Egress::Off);
    assert_eq!(world.pool.unclaimed(), taken.into_iter().collect::<Vec<_>>());
    let (slot, tap) =
        (world.pool.take().expect("a slot"), world.pool.taps().take().expect("a tap"));
    assert_eq!((slot.id(), tap.id()), (SlotId(32), SlotId(33)));
    let freed = tap.id();
    world.pool.taps().give_back(tap).expect("removed");
    assert_eq!(world.pool.take().expect("a slot").id(), freed, "free for either kind");
}

#[test]
fn a_new_daemon_adopts_taps_with_their_machines() {
    let world = World::new();
    let (mut vm, a) = (Vm::new(&world, RED, 1), world.guest(RED, 2));
    let (id, slot) = (vm.tap.id(), a.slot.id());
    let unassigned = world.pool.taps().take().expect("a tap").id();
    drop(a);
    let world = world.restarted(Egress::Off);
    assert_eq!(world.pool.unclaimed(), [id, slot, unassigned]);
    assert!(matches!(world.pool.adopt(id), Err(Error::SlotNotWhole { .. })));
    assert!(matches!(world.pool.taps().adopt(slot), Err(Error::SlotNotWhole { .. })));

    vm.tap = world.pool.taps().adopt(id).expect("adopted");
    assert!(vm.tap.carries(&vm.addrs));
    assert!(!vm.tap.carries(&addrs(RED, 3)));
    let a = Guest { slot: world.pool.adopt(slot).expect("adopted"), addrs: addrs(RED, 2) };
    for its in vm.ips() {
        greet(a.slot.netns(), vm.netns(), its).expect("nothing was interrupted");
    }
    let spare = world.pool.taps().adopt(unassigned).expect("adopted");
    assert!(!spare.carries(&vm.addrs));
    assert!(world.pool.unclaimed().is_empty());
    let again = world.pool.taps().adopt(id);
    assert!(matches!(again, Err(Error::SlotNotUnclaimed { .. })));

    world.pool.taps().unassign(&mut vm.tap).expect("what was adopted is known");
    assert_eq!(routes_of(&world, vm.tap.link_name()), Vec::<String>::new());
}

#[test]
fn a_tap_of_a_daemon_that_died_while_it_assigned_is_put_right() {
    let mut world = World::new();
    let mut tap = world.pool.taps().take().expect("a tap");
    let (id, own, link) = (tap.id(), addrs(RED, 1), tap.link_name().to_owned());
    for missing in ["-4", "-6"] {
        world.pool.taps().assign(&mut tap, &own).expect("addresses");
        let flush = || ip(&format!("{missing} route flush dev {link} proto static"));
        world.router.open_in_router(flush).expect("inside");
        assert_eq!(routes_of(&world, &link).len(), 1, "without {missing}");
        for next in [own, addrs(RED, 2)] {
            world = world.restarted(Egress::Off);
            tap = world.pool.taps().adopt(id).expect("adopted");
            assert!(!tap.carries(&next));
            world.pool.taps().assign(&mut tap, &next).expect("addresses");
            assert_eq!(routes_of(&world, &link).len(), 2);
        }
    }
}

#[test]
fn what_nobody_adopts_is_removed_like_a_slot() {
    let world = World::new();
    let vm = Vm::new(&world, RED, 1);
    let (id, link) = (vm.tap.id(), vm.tap.link_name().to_owned());
    drop(vm);
    let half = SlotId(7);
    let name = net::slot::link_name(&world.tag, half);
    world.router.open_in_router(|| ip(&format!("tuntap add dev {name} mode tap"))).expect("inside");

    let world = world.restarted(Egress::Off);
    assert_eq!(world.pool.unclaimed(), [id, half]);
    assert!(matches!(world.pool.taps().adopt(half), Err(Error::SlotNotWhole { .. })));
    for left in [id, half] {
        world.pool.remove(left).expect("removed");
    }
    let shown = links(&world);
    assert!(!shown.contains(&link) && !shown.contains(&name), "{shown}");
    assert_eq!(world.pool.stats().n_all, 0);
}

#[test]
fn a_queue_is_open_once() {
    let world = World::new();
    let (mut vm, a) = (Vm::new(&world, RED, 1), world.guest(RED, 2));
    let refused = world.pool.taps().open_queue(&vm.tap).expect_err("the guest's");
    assert!(matches!(refused, Error::QueueInUse { slot } if slot == vm.tap.id()));
    assert!(refused.to_string().contains("open elsewhere"), "{refused}");
    vm.unplug();
    let queue = world.pool.taps().open_queue(&vm.tap).expect("free again");
    assert!(fcntl_getfd(&queue).expect("flags").contains(FdFlags::CLOEXEC));
    drop(queue);
    assert_eq!(routes_of(&world, vm.tap.link_name()).len(), 2, "routes outlive the queue");
    vm.plug(&world);
    for (own, its) in a.ips().into_iter().zip(vm.ips()) {
        greet(a.slot.netns(), vm.netns(), its).expect("as before");
        greet(vm.netns(), a.slot.netns(), own).expect("and back");
    }
}

#[test]
fn a_tap_that_is_given_back_leaves_nothing() {
    let world = World::new();
    let vm = Vm::new(&world, RED, 1);
    let (a, its) = (world.guest(RED, 2), vm.addrs);
    let link = vm.tap.link_name().to_owned();
    assert_eq!(routes_of(&world, &link).len(), 2);
    // Its queue is open still, as that of a monitor that hangs.
    let Vm { tap, .. } = vm;
    let id = tap.id();
    world.pool.taps().give_back(tap).expect("removed");
    let shown = links(&world);
    assert!(!shown.contains(&link), "{shown}");
    for ip in [IpAddr::from(its.v4), its.v6.into()] {
        assert_eq!(a.is_refused_at(SocketAddr::from((ip, 80))), ErrorKind::HostUnreachable);
    }
    assert_eq!(world.pool.stats().n_all, 1);
    assert_eq!(world.pool.taps().take().expect("a tap").id(), id, "the number is free again");
}

/// Whoever has the queue may do that, and a monitor that was taken over would.
#[test]
fn a_tap_that_its_holder_let_go_is_noticed() {
    let world = World::new();
    let tap = world.pool.taps().take().expect("a tap");
    let queue = world.pool.taps().open_queue(&tap).expect("its queue");
    persist(&queue, false);
    drop(queue);
    let gone = world.pool.taps().open_queue(&tap).expect_err("gone");
    assert!(matches!(gone, Error::SlotNotWhole { .. }));
    let shown = links(&world);
    assert_eq!(shown.lines().count(), 1, "the loopback, and nothing made by looking: {shown}");
    world.pool.taps().give_back(tap).expect("not there is as good as removed");
    assert_eq!(world.pool.stats().n_all, 0);
}

#[test]
fn a_new_tap_is_as_all_are() {
    let world = World::new();
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let tap = world.pool.taps().take().expect("a tap");
        let link = tap.link_name().to_owned();
        let shown = world.router.open_in_router(|| ip(&format!("-o -d link show dev {link}")));
        let shown = shown.expect("inside");
        for word in
            [&text(MAC), "type tap pi off vnet_hdr on persist on user root", "addrgenmode none"]
        {
            assert!(shown.contains(word), "{word}: {shown}");
        }
        seen.insert(shown.split_once(": ").expect("a number").1.to_owned());
        let queue = world.pool.taps().open_queue(&tap).expect("its queue");
        drop(queue);
        world
            .router
            .open_in_router(|| ip(&format!("link set {link} address 02:00:00:00:00:09")))
            .expect("inside");
        world.pool.taps().give_back(tap).expect("removed");
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn assigning_is_as_with_slots() {
    let world = World::new();
    let taps = world.pool.taps();
    let mut tap = taps.take().expect("a tap");
    let link = tap.link_name().to_owned();
    for nth in [1, 1, 2] {
        taps.assign(&mut tap, &addrs(RED, nth)).expect("addresses");
        assert!(tap.carries(&addrs(RED, nth)));
        let routes = routes_of(&world, &link);
        assert_eq!(routes.len(), 2, "{routes:?}");
        assert!(routes[0].starts_with(&addrs(RED, nth).v4.to_string()), "{routes:?}");
    }
    for _ in 0..2 {
        taps.unassign(&mut tap).expect("unassigned");
        assert_eq!(routes_of(&world, &link), Vec::<String>::new());
    }

    taps.assign(&mut tap, &addrs(RED, 3)).expect("addresses");
    let (moved, peer) = (world.guest(RED, 3), world.guest(RED, 4));
    assert_eq!(routes_of(&world, &link), Vec::<String>::new(), "a slot took the routes along");
    taps.unassign(&mut tap).expect("the old place is cleared");
    for own in moved.ips() {
        peer.greets(&moved, own).expect("still at the new place");
    }
}

#[test]
fn a_host_without_taps_is_told_what_to_do() {
    let world = World::new();
    // Seen by this instance alone, whose mount namespace the test is in.
    output_of("mount", "-t tmpfs none /dev/net");
    let missing = world.pool.taps().take().expect_err("no taps");
    output_of("umount", "/dev/net");
    assert!(matches!(missing, Error::TunMissing { .. }));
    assert!(missing.to_string().contains("modprobe tun"), "{missing}");
    assert_eq!(world.pool.stats().n_all, 0);
    world.pool.taps().take().expect("a tap");
}

/// A link into the router stands for its namespace: it is gone when the other one is.
#[test]
fn an_instance_with_taps_ends_without_a_trace() {
    on_private_host(|| {
        let world = World::new();
        let mut vm = Vm::new(&world, RED, 1);
        let host = rustix::thread::gettid().as_raw_nonzero();
        let probe = format!("link add probe type veth peer name probe-host netns {host}");
        world.router.open_in_router(|| ip(&probe)).expect("inside");
        assert!(ip("-o link show").contains("probe-host"));
        vm.unplug();
        drop(world);
        eventually("no link", || !ip("-o link show").contains("probe-host"));
    });
}

/// In the namespace of the router and nowhere else is there a link to open.
#[test]
fn the_queue_is_not_to_be_had_from_elsewhere() {
    on_private_host(|| {
        let world = World::new();
        let tap = world.pool.taps().take().expect("a tap");
        let other = open_queue(tap.link_name()).expect("another link of that name");
        let queue = world.pool.taps().open_queue(&tap).expect("its queue");
        drop((other, queue));
    });
}
