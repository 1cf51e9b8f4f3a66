//! What outlives whom: control away, a new proxy, a proxy that is told to end; and checks.

use crate::harness::{
    PORT, Proxy, World, echo, exchange, machine, own_ip, port, service, soon, up,
};
use model::spec::service::{Check, Probe};
use proxy_proto::message::Health;
use proxy_proto::{FromProxy, RouteState};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn without_control_who_runs_is_served_and_who_sleeps_is_not_woken() {
    let inside = own_ip();
    let _program = echo(inside, "hi ").await;
    let awake = machine(1, inside, up("r1"), service(vec![port(PORT, &[])]));
    let mut asleep = machine(2, own_ip(), RouteState::Asleep, service(vec![port(PORT + 1, &[])]));
    asleep.app = "other".to_owned();
    let mut world = World::new(vec![awake, asleep]).await;
    world.kill_control();
    let mut visitor = world.visit().await;
    assert_eq!(exchange(&mut visitor, "x").await, "hi x");
    let since = Instant::now();
    let mut visitor = soon(TcpStream::connect(world.at(PORT + 1))).await.expect("open");
    assert_eq!(exchange(&mut visitor, "x").await, "");
    assert!(since.elapsed() < Duration::from_secs(5), "it is not held for long");

    // A proxy that begins without control has the records of the one before.
    world.proxy.tell();
    world.proxy.ended().await;
    world.proxy = Proxy::start(world.options());
    let mut visitor = connect_soon(&world).await;
    assert_eq!(exchange(&mut visitor, "y").await, "hi y");
}

async fn connect_soon(world: &World) -> TcpStream {
    let connected = async {
        loop {
            match TcpStream::connect(world.at(PORT)).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    soon(connected).await
}

#[tokio::test]
async fn a_held_visitor_survives_a_new_control() {
    let inside = own_ip();
    let _program = echo(inside, "hi ").await;
    let mut route = machine(1, inside, RouteState::Asleep, service(vec![port(PORT, &[])]));
    let mut world = World::new(vec![route.clone()]).await;
    let mut visitor = world.visit().await;
    visitor.write_all(b"x").await.expect("said");
    world.knock().await;
    let path = world.dir.path().join("proxy.sock");
    world.kill_control();
    std::fs::remove_file(&path).expect("removed");
    world.revive_control();
    world.welcome(vec![route.clone()], vec![]).await;
    let (ticket, _) = world.knock().await;
    route.generation = world.next_generation();
    route.state = up("r1");
    world.ready(ticket, route).await;
    visitor.shutdown().await.expect("ended");
    let mut answer = String::new();
    soon(visitor.read_to_string(&mut answer)).await.expect("answered");
    assert_eq!(answer, "hi x");
}

#[tokio::test]
async fn a_new_proxy_takes_the_doors_without_refusing_anybody() {
    let inside = own_ip();
    let _program = echo(inside, "hi ").await;
    let route = machine(1, inside, up("r1"), service(vec![port(PORT, &[])]));
    let mut world = World::new(vec![route]).await;
    let mut long = world.visit().await;
    long.write_all(b"a").await.expect("said");
    let at = world.at(PORT);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let herd = tokio::spawn(async move {
        let mut n_served = 0;
        while stopped.try_recv().is_err() {
            let mut visitor = TcpStream::connect(at).await.expect("never refused");
            assert_eq!(exchange(&mut visitor, "x").await, "hi x");
            n_served += 1;
        }
        n_served
    });
    let next = Proxy::start(world.options());
    let mut before = std::mem::replace(&mut world.proxy, next);
    tokio::time::sleep(Duration::from_millis(300)).await;
    // What was under way at the one before goes on there, and it ends with it.
    long.shutdown().await.expect("ended");
    let mut answer = String::new();
    soon(long.read_to_string(&mut answer)).await.expect("answered");
    assert_eq!(answer, "hi a");
    before.ended().await;
    stop.send(()).expect("the herd is there");
    assert!(soon(herd).await.expect("all served") > 10);
}

#[tokio::test]
async fn a_proxy_that_is_told_to_end_finishes_what_is_under_way() {
    let inside = own_ip();
    let _program = echo(inside, "hi ").await;
    let route = machine(1, inside, up("r1"), service(vec![port(PORT, &[])]));
    let mut world = World::new(vec![route]).await;
    let mut visitor = world.visit().await;
    let mut greeting = [0; 3];
    visitor.write_all(b"x").await.expect("said");
    soon(visitor.read_exact(&mut greeting)).await.expect("served");
    world.proxy.tell();
    let refused = async { while TcpStream::connect(world.at(PORT)).await.is_ok() {} };
    soon(refused).await;
    assert_eq!(exchange(&mut visitor, "y").await, "xy");
    world.proxy.ended().await;
}

fn check(probe: Probe) -> Check {
    let ms = model::DurationMs;
    Check {
        name: "alive".to_owned(),
        probe,
        port: crate::harness::INTERNAL,
        interval: ms(100),
        timeout: ms(1_000),
        grace_period: ms(0),
        gates_routing: true,
    }
}

async fn checked(world: &mut World, health: Health) -> String {
    world
        .hear(|message| match message {
            FromProxy::Checked { health: seen, output, .. } if seen == health => Some(output),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_check_by_connection_gates() {
    let inside = own_ip();
    let program = echo(inside, "hi ").await;
    let mut service = service(vec![port(PORT, &[])]);
    service.checks.push(check(Probe::Tcp));
    let mut world = World::new(vec![machine(1, inside, up("r1"), service)]).await;
    let mut visitor = world.visit().await;
    assert_eq!(exchange(&mut visitor, "x").await, "hi x");
    program.abort();
    checked(&mut world, Health::Critical).await;
    let mut visitor = world.visit().await;
    assert_eq!(exchange(&mut visitor, "x").await, "", "turned away at once");
    assert_eq!(world.describe().await.machines[0].failing, ["alive"]);
    let _program = echo(inside, "hi ").await;
    checked(&mut world, Health::Passing).await;
    let mut visitor = world.visit().await;
    assert_eq!(exchange(&mut visitor, "x").await, "hi x");
}

#[tokio::test]
async fn a_check_by_http_wants_success() {
    let inside = own_ip();
    let listener = TcpListener::bind((inside, crate::harness::INTERNAL)).await.expect("bound");
    let program = tokio::spawn(async move {
        let mut heads = Vec::new();
        for status in ["302 Found", "204 No Content"] {
            let (mut stream, _) = listener.accept().await.expect("asked");
            let mut head = vec![0; 1_024];
            let n_read = stream.read(&mut head).await.expect("read");
            heads.push(String::from_utf8_lossy(&head[..n_read]).into_owned());
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("answered");
        }
        heads
    });
    let mut service = service(vec![port(PORT, &[])]);
    service.checks.push(check(Probe::Http {
        method: "GET".to_owned(),
        path: "/health?x=1".to_owned(),
        is_https: false,
        skips_verification: false,
        server_name: None,
        headers: vec![("x-own".to_owned(), "1".to_owned())],
    }));
    let mut world = World::new(vec![]).await;
    world.publish(machine(1, inside, up("r1"), service)).await;
    assert!(checked(&mut world, Health::Critical).await.contains("302"));
    assert!(checked(&mut world, Health::Passing).await.contains("204"));
    let heads = soon(program).await.expect("asked twice");
    assert!(heads[0].starts_with("GET /health?x=1 HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[0].contains("x-own: 1"), "{heads:?}");
}
