//! Plain bytes: TCP, TLS that ends at the door or passes it, the PROXY protocol, datagrams, programs
//! that listen on one family only.

use crate::client::{soon, tls_of_app};
use crate::house::{
    HOST, HTTP, RAW, TLS, expect_from, house, http, service, sleeper, starts, with,
};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::Duration;
use testkit::{Instance, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Says `bytes`, ends that direction, and hears the rest.
#[track_caller]
fn exchange(mut stream: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).expect("said");
    stream.shutdown(Shutdown::Write).expect("ended");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer to its end");
    answer
}

#[test]
fn bytes_pass_as_they_are_to_the_end_of_each_direction() {
    let instance = house();
    let id = sleeper(&instance, "echo 80", &[service(RAW, &[])]);
    let large = vec![7; 3_000_000];
    let stream = instance.connect(RAW);
    let mut half = stream.try_clone().expect("a second handle");
    let heard = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut heard = Vec::new();
            half.read_to_end(&mut heard).expect("it comes back");
            heard
        });
        (&stream).write_all(&large).expect("said");
        stream.shutdown(Shutdown::Write).expect("ended");
        reader.join().expect("heard")
    });
    assert!(heard == large, "{} bytes came back", heard.len());
    instance.wait_for_route(&id, |route| route["load"]["n_connections"] == 0);
}

#[test]
fn tls_passes_a_port_without_handlers_untouched() {
    let instance = house();
    let _id = sleeper(&instance, "echo 80", &[service(RAW, &[])]);
    // The begin of a ClientHello: whoever looked into it would answer, or close.
    let hello = [22, 3, 1, 0, 4, 1, 0, 0, 0];
    assert_eq!(exchange(&instance.connect(RAW), &hello), hello);
}

#[tokio::test]
async fn tls_ends_at_the_door_where_the_port_says_so() {
    let instance = house();
    let id = sleeper(&instance, "greet 80", &[service(TLS, &["tls"])]);
    let mut stream = tls_of_app(&instance, TLS, &[]).await;
    soon(stream.write_all(b"secret")).await.expect("said");
    soon(stream.shutdown()).await.expect("ended");
    let mut heard = String::new();
    soon(stream.read_to_string(&mut heard)).await.expect("an answer");
    assert_eq!(heard, format!("{id}\nsecret"));
    assert_eq!(starts(&instance, &id)[0]["cause"], "knock");
}

#[tokio::test]
async fn a_program_learns_its_visitor_from_the_proxy_header() {
    let instance = house();
    let port = |port: u16, handlers: &[&str], version: &str| json!({"port": port, "handlers": handlers, "proxy_proto_options": {"version": version}});
    let ports = [port(RAW, &["proxy_proto"], "v1"), port(RAW + 1, &["proxy_proto"], "v2")];
    let _id = sleeper(
        &instance,
        "echo 80",
        &[json!({"internal_port": 80, "ports": ports}), service(TLS, &["tls", "proxy_proto"])],
    );
    let stream = instance.connect(RAW);
    let own = stream.local_addr().expect("an address");
    let heard = String::from_utf8(exchange(&stream, b"hello")).expect("text");
    let (ip, door) = (own.ip(), instance.door_address());
    assert_eq!(heard, format!("PROXY TCP4 {ip} {door} {} {RAW}\r\nhello", own.port()));

    let stream = instance.connect(RAW + 1);
    let own = stream.local_addr().expect("an address");
    let heard = exchange(&stream, b"hello");
    assert_eq!(heard[..16], *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c");
    assert_eq!(heard[16..20], [127, 0, 0, 1]);
    assert_eq!(heard[20..24], door.octets());
    assert_eq!(heard[24..26], own.port().to_be_bytes());
    assert_eq!(heard[26..28], (RAW + 1).to_be_bytes());
    assert_eq!(heard[28..], *b"hello");

    let mut stream = tls_of_app(&instance, TLS, &[]).await;
    soon(stream.write_all(b"hello")).await.expect("said");
    soon(stream.shutdown()).await.expect("ended");
    let mut heard = String::new();
    soon(stream.read_to_string(&mut heard)).await.expect("an answer");
    assert!(heard.starts_with("PROXY TCP4 127.0.0.1 "), "{heard}");
    assert!(heard.ends_with(&format!(" {TLS}\r\nhello")), "{heard}");
}

#[test]
fn a_datagram_wakes_and_is_answered() {
    let instance = house();
    let udp = json!({"protocol": "udp", "internal_port": 5353, "ports": [{"port": 5353}]});
    let id = sleeper(&instance, "echo 5353", &[udp]);
    let visitor = UdpSocket::bind((instance.door_address(), 0)).expect("a socket");
    visitor.set_read_timeout(Some(Duration::from_millis(200))).expect("a bound");
    let mut bytes = [0; 100];
    // Datagrams get lost while nobody listens, as on any network: a visitor says it again.
    let n_read = wait::eventually("a datagram comes back", || {
        visitor.send_to(b"hello", instance.door(5353)).expect("sent");
        visitor.recv(&mut bytes).ok()
    });
    assert_eq!(String::from_utf8_lossy(&bytes[..n_read]), format!("{id} hello"));
    assert_eq!(starts(&instance, &id).len(), 1);
}

#[test]
fn programs_of_one_family_are_reached() {
    let instance = house();
    for family in ["v4", "v6"] {
        let id = sleeper(&instance, &format!("http 80 {family}"), &[http()]);
        let reply = instance.visit(HTTP, HOST, "/");
        expect_from(&reply, &id);
        assert!(reply.header("server-timing").is_some(), "{family}");
        drop(instance.delete(&format!("{}?force=true", Instance::path(&id))).expect(200));
        instance.wait_for(&id, "destroyed");
    }
}

#[test]
fn a_range_of_ports_has_a_door_each() {
    let instance = house();
    let ports = json!([{"start_port": RAW, "end_port": RAW + 3}]);
    let _id = sleeper(&instance, "echo 80", &[with(service(RAW, &[]), &json!({"ports": ports}))]);
    for port in RAW..=RAW + 3 {
        wait::eventually("the door is open", || instance.try_connect(port).ok());
        assert_eq!(exchange(&instance.connect(port), b"x"), b"x", "{port}");
    }
}
