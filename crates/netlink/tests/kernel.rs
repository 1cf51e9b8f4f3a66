//! Against the kernel, in a network namespace of each test's own, which ends with its thread.

use netlink::{
    Batch, Error, Prefix, Route, Socket, Target, add_address, add_route, addresses_of,
    delete_address, delete_link, link_named, link_names, routes_through, set_down, set_no_arp,
    set_up,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use testkit::place::{leave_network, run};

const OWN: Prefix = Prefix { addr: IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)), len: 32 };
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
const EVERYWHERE: Prefix = Prefix { addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), len: 0 };

#[track_caller]
fn ip(words: &str) -> String {
    run(Command::new("ip").args(words.split(' ')))
}

/// A namespace with a link that is down; gives its number.
fn with_link() -> (Socket, u32) {
    leave_network();
    ip("link add name west type veth peer name east");
    let mut socket = Socket::open().expect("a socket");
    let link = link_named(&mut socket, "west").expect("asked").expect("just made");
    assert!(!link.is_up && !link.is_tap);
    (socket, link.index)
}

#[test]
fn one_batch_makes_a_link_ready() {
    let (mut socket, index) = with_link();
    let own = Prefix { addr: Ipv6Addr::new(0xfdaa, 0, 0, 0, 0, 0, 0, 7).into(), len: 112 };
    let mut batch = Batch::new();
    set_up(&mut batch, "west", index);
    set_no_arp(&mut batch, "west", index);
    add_address(&mut batch, index, OWN);
    add_address(&mut batch, index, own);
    let target = Target::Gateway(index, GATEWAY);
    add_route(&mut batch, &Route { to: EVERYWHERE, target, source: Some(OWN.addr) });
    let (to, target) = (Prefix { len: 32, addr: GATEWAY }, Target::Link(index));
    add_route(&mut batch, &Route { to, target, source: None });
    socket.apply(batch).expect("carried out");

    assert!(link_named(&mut socket, "west").expect("asked").expect("there").is_up);
    assert_eq!(addresses_of(&mut socket, Some(index)).expect("listed"), [OWN, own]);
    assert_eq!(routes_through(&mut socket, index).expect("listed"), [to]);
    let default = ip("route show default");
    assert!(default.contains("via 169.254.1.1 dev west") && default.contains("src 10.1.2.3"));
    assert!(ip("link show west").contains("NOARP"));
    assert!(!ip("addr show dev west").contains("tentative"));

    let mut batch = Batch::new();
    set_down(&mut batch, "west", index);
    socket.apply(batch).expect("carried out");
    assert!(!link_named(&mut socket, "west").expect("asked").expect("there").is_up);
}

/// Whichever of a batch it is, and the others are carried out.
#[test]
fn a_refused_request_is_the_one_that_is_reported() {
    let (mut socket, index) = with_link();
    let nowhere = Prefix { addr: Ipv4Addr::new(10, 9, 9, 9).into(), len: 33 };
    for at in 0..3 {
        let wanted: Vec<_> = (0..3).map(|n| if n == at { nowhere } else { other(n) }).collect();
        let mut batch = Batch::new();
        wanted.iter().for_each(|&prefix| add_address(&mut batch, index, prefix));
        let refused = socket.apply(batch).expect_err("33 bits");
        assert!(matches!(refused, Error::Refused { .. }), "{refused}");
        assert!(refused.to_string().contains("10.9.9.9/33"), "{refused}");
        let mut batch = Batch::new();
        let made = addresses_of(&mut socket, Some(index)).expect("listed");
        assert_eq!(made.len(), 2);
        made.iter().for_each(|&prefix| delete_address(&mut batch, index, prefix));
        socket.apply(batch).expect("carried out");
    }
    assert_eq!(addresses_of(&mut socket, Some(index)).expect("listed"), []);
}

fn other(n: u8) -> Prefix {
    Prefix { addr: Ipv4Addr::new(10, 0, 0, n).into(), len: 32 }
}

#[test]
fn what_was_so_already_is_no_refusal() {
    let (mut socket, index) = with_link();
    for _ in 0..2 {
        let mut batch = Batch::new();
        delete_address(&mut batch, index, OWN);
        delete_link(&mut batch, "c");
        socket.apply(batch).expect("there is neither");
    }
    socket.apply(Batch::new()).expect("nothing to do");
    assert_eq!(link_named(&mut socket, "c").expect("asked"), None);
    let mut names = link_names(&mut socket).expect("listed");
    names.sort();
    assert_eq!(names, ["east", "lo", "west"]);
}
