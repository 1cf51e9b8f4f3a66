//! Who speaks with whom, as the router sees it.

use crate::world::{Guest, RED, SOON, World};
use net::router::{Flow, Flows, is_of_router};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// The flow between two addresses, once it is as `is_it` says.
#[track_caller]
fn find(flows: &Flows, ends: (IpAddr, IpAddr), is_it: impl Fn(&Flow) -> bool) -> Flow {
    let deadline = Instant::now() + SOON;
    loop {
        let all = flows.list().expect("flows");
        let between = |flow: &&Flow| (flow.from, flow.to) == ends;
        if let Some(flow) = all.iter().filter(between).find(|flow| is_it(flow)) {
            return *flow;
        }
        assert!(Instant::now() < deadline, "{ends:?} not in {all:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A connection from one machine to another, both ends.
fn connected(from: &Guest, to: &Guest, ip: IpAddr) -> (TcpStream, TcpStream) {
    let listener = to.run(|| TcpListener::bind((ip, 0))).expect("bound");
    let address = listener.local_addr().expect("bound");
    let near = from.run(|| TcpStream::connect_timeout(&address, SOON)).expect("connected");
    (near, listener.accept().expect("accepted").0)
}

#[test]
fn a_connection_is_open_counts_its_bytes_and_ends() {
    let world = World::new();
    let flows = Flows::open(&world.router).expect("flows");
    let (a, b) = (world.guest(RED, 1), world.guest(RED, 2));
    for (from, to) in a.ips().into_iter().zip(b.ips()) {
        let (mut near, mut far) = connected(&a, &b, to);
        let open = find(&flows, (from, to), |flow| flow.is_open);
        let before = open.bytes.expect("counted");
        near.write_all(&[7; 1000]).expect("sent");
        far.read_exact(&mut [0; 1000]).expect("received");
        let after = find(&flows, (from, to), |flow| flow.bytes >= Some(before + 1000));
        assert_eq!(after.id, open.id);
        drop((near, far));
        find(&flows, (from, to), |flow| !flow.is_open);
    }
}

#[test]
fn datagrams_that_are_answered_are_a_flow_and_the_others_are_not() {
    let world = World::new();
    let flows = Flows::open(&world.router).expect("flows");
    let (a, b) = (world.guest(RED, 1), world.guest(RED, 2));
    let [to, _] = b.ips();
    let there = b.run(|| UdpSocket::bind((to, 0))).expect("bound");
    let here = a.run(|| UdpSocket::bind((a.ips()[0], 0))).expect("bound");
    for socket in [&there, &here] {
        socket.set_read_timeout(Some(SOON)).expect("a deadline");
    }
    here.send_to(b"hello", there.local_addr().expect("bound")).expect("sent");
    let (_, back) = there.recv_from(&mut [0; 5]).expect("received");
    find(&flows, (a.ips()[0], to), |flow| !flow.is_open);
    there.send_to(b"hello", back).expect("answered");
    here.recv_from(&mut [0; 5]).expect("received");
    find(&flows, (a.ips()[0], to), |flow| flow.is_open);
}

#[test]
fn what_the_router_itself_begins_is_told_apart() {
    let world = World::new();
    let flows = Flows::open(&world.router).expect("flows");
    let a = world.guest(RED, 1);
    for own in a.ips() {
        let listener = a.run(|| TcpListener::bind((own, 0))).expect("bound");
        let address = listener.local_addr().expect("bound");
        let visit = world.router.open_in_router(|| TcpStream::connect_timeout(&address, SOON));
        let visit = visit.expect("inside").expect("connected");
        let from = visit.local_addr().expect("connected").ip();
        assert!(is_of_router(from), "{from}");
        assert!(!is_of_router(own), "{own}");
        find(&flows, (from, own), |flow| flow.is_open);
    }
}
