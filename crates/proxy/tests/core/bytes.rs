//! Bytes as they are: both ways, held, refused, with a header before them, as datagrams.

use crate::harness::{
    INTERNAL, PORT, World, echo, exchange, id, machine, own_ip, port, service, soon, up,
};
use model::spec::service::{Handler, ProxyProto, Transport};
use proxy_proto::{FromProxy, KnockOutcome, RefusalScope, RouteState, ToProxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

#[tokio::test]
async fn bytes_go_both_ways_and_each_direction_ends_alone() {
    let inside = own_ip();
    let _program = echo(inside, "hello ").await;
    let route = machine(1, inside, up("r1"), service(vec![port(PORT, &[])]));
    let mut world = World::new(vec![route]).await;
    let mut visitor = world.visit().await;
    assert_eq!(exchange(&mut visitor, "abc").await, "hello abc");
    let large = "x".repeat(3_000_000);
    let mut visitor = world.visit().await;
    let (mut from, mut to) = visitor.split();
    let mut got = String::new();
    let say = async {
        to.write_all(large.as_bytes()).await.expect("said");
        to.shutdown().await.expect("ended");
    };
    let ((), n_read) = soon(async { tokio::join!(say, from.read_to_string(&mut got)) }).await;
    assert_eq!(n_read.expect("read"), large.len() + 6);
    let load = world.hear(|message| match message {
        FromProxy::Load(load) if load.n_connections == 0 => Some(load),
        _ => None,
    });
    assert!(load.await.last_at.is_some());
}

#[tokio::test]
async fn many_visitors_of_a_sleeper_knock_once_and_are_all_served() {
    let inside = own_ip();
    let asleep = machine(1, inside, RouteState::Asleep, service(vec![port(PORT, &[])]));
    let mut world = World::new(vec![asleep.clone()]).await;
    let mut visitors = Vec::new();
    for n in 0..200 {
        let mut visitor = world.visit().await;
        visitors
            .push(tokio::spawn(async move { exchange(&mut visitor, &format!("from {n}")).await }));
    }
    let (ticket, which) = world.knock().await;
    assert_eq!(which, id(1));
    // The program listens a moment later than it should: visitors still get through.
    let mut route = asleep;
    route.generation = world.next_generation();
    route.state = up("r1");
    world.ready(ticket, route).await;
    let _program = echo(inside, "hi ").await;
    for (n, visitor) in visitors.into_iter().enumerate() {
        assert_eq!(soon(visitor).await.expect("served"), format!("hi from {n}"));
    }
    assert_eq!(world.n_knocks(), 0);
}

#[tokio::test]
async fn a_refused_visitor_is_closed() {
    let asleep = machine(1, own_ip(), RouteState::Asleep, service(vec![port(PORT, &[])]));
    let mut world = World::new(vec![asleep]).await;
    let mut visitor = world.visit().await;
    let (ticket, _) = world.knock().await;
    let outcome = KnockOutcome::Refused {
        code: "denied".to_owned(),
        message: "no".to_owned(),
        hint: None,
        retry_after: None,
        scope: RefusalScope::Machine,
    };
    world.say(&ToProxy::Knocked { ticket, outcome }).await;
    assert_eq!(exchange(&mut visitor, "x").await, "");
    let metrics = world.describe().await.metrics;
    assert!(metrics.contains(&("dormouse_proxy_turned_total{code=\"denied\"}".to_owned(), 1.0)));
}

#[tokio::test]
async fn who_goes_away_is_held_no_longer() {
    let asleep = machine(1, own_ip(), RouteState::Asleep, service(vec![port(PORT, &[])]));
    let mut world = World::new(vec![asleep]).await;
    let visitor = world.visit().await;
    world.knock().await;
    assert_eq!(world.describe().await.machines[0].n_held, 1);
    drop(visitor);
    let gone = async { while world.describe().await.machines[0].n_held > 0 {} };
    soon(gone).await;
}

#[tokio::test]
async fn a_run_that_ends_ends_its_connections() {
    let inside = own_ip();
    let _program = echo(inside, "").await;
    let mut route = machine(1, inside, up("r1"), service(vec![port(PORT, &[])]));
    let mut world = World::new(vec![route.clone()]).await;
    let mut visitor = world.visit().await;
    visitor.write_all(b"a").await.expect("said");
    let mut back = [0; 1];
    soon(visitor.read_exact(&mut back)).await.expect("answered");
    route.generation = world.next_generation();
    route.state = RouteState::Asleep;
    world.publish(route).await;
    assert_eq!(soon(visitor.read(&mut back)).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn programs_are_told_who_visits() {
    let inside = own_ip();
    let _program = echo(inside, "").await;
    let mut second = port(PORT + 1, &[Handler::ProxyProto]);
    second.proxy_proto = ProxyProto::V2;
    let ports = vec![port(PORT, &[Handler::ProxyProto]), second];
    let world = World::new(vec![machine(1, inside, up("r1"), service(ports))]).await;
    let mut visitor = world.visit().await;
    let from = visitor.local_addr().expect("an address");
    let expected = format!("PROXY TCP4 {} {} {} {PORT}\r\nhey", from.ip(), world.ip, from.port());
    assert_eq!(exchange(&mut visitor, "hey").await, expected);
    let mut visitor = soon(tokio::net::TcpStream::connect(world.at(PORT + 1))).await.expect("open");
    visitor.shutdown().await.expect("ended");
    // A visitor that ends without a byte is gone; one that says something is not.
    let mut visitor = soon(tokio::net::TcpStream::connect(world.at(PORT + 1))).await.expect("open");
    visitor.write_all(b"hey").await.expect("said");
    visitor.shutdown().await.expect("ended");
    let mut bytes = Vec::new();
    soon(visitor.read_to_end(&mut bytes)).await.expect("answered");
    assert_eq!((&bytes[..12], bytes.len()), (&b"\r\n\r\n\0\r\nQUIT\n"[..], 28 + 3));
}

#[tokio::test]
async fn datagrams_wake_and_come_back() {
    let inside = own_ip();
    let mut udp = service(vec![port(INTERNAL, &[])]);
    udp.protocol = Transport::Udp;
    let mut route = machine(1, inside, RouteState::Asleep, udp);
    let mut world = World::new(vec![route.clone()]).await;
    let program = UdpSocket::bind((inside, INTERNAL)).await.expect("bound");
    let visitor = UdpSocket::bind((own_ip(), 0)).await.expect("bound");
    visitor.connect(world.at(INTERNAL)).await.expect("connected");
    visitor.send(b"one").await.expect("sent");
    visitor.send(b"two").await.expect("sent");
    let (ticket, _) = world.knock().await;
    route.generation = world.next_generation();
    route.state = up("r1");
    world.ready(ticket, route).await;
    let mut bytes = [0; 16];
    for expected in [b"one", b"two"] {
        let (n_read, from) = soon(program.recv_from(&mut bytes)).await.expect("heard");
        assert_eq!(&bytes[..n_read], expected);
        program.send_to(b"back", from).await.expect("sent");
    }
    let n_read = soon(visitor.recv(&mut bytes)).await.expect("heard");
    assert_eq!(&bytes[..n_read], b"back");
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_problem_until_it_is_free() {
    let inside = own_ip();
    let _program = echo(inside, "hi ").await;
    let ports = vec![port(PORT, &[]), port(PORT + 1, &[])];
    let mut world = World::new(vec![]).await;
    let taken = tokio::net::TcpListener::bind(world.at(PORT + 1)).await.expect("bound");
    world.publish(machine(1, inside, up("r1"), service(ports))).await;
    world.open().await;
    let problem = async {
        loop {
            let doors = world.describe().await.doors;
            if let Some(problem) = doors.into_iter().find_map(|door| door.problem) {
                return problem;
            }
        }
    };
    assert!(soon(problem).await.contains("in use"));
    drop(taken);
    let free = async {
        while world.describe().await.doors.iter().any(|door| door.problem.is_some()) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    soon(free).await;
    let mut visitor = soon(tokio::net::TcpStream::connect(world.at(PORT + 1))).await.expect("open");
    assert_eq!(exchange(&mut visitor, "x").await, "hi x");
}
