//! The network: other networks, the host, forged senders.

use crate::prisoner;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::process::Command;
use testkit::Instance;
use tests::fixture;

/// Port of servers inside machines.
const PORT: &str = "7000";

/// A machine's addresses.
struct Addresses {
    v4: String,
    v6: String,
}

fn addresses(machine: &Value) -> Addresses {
    let text = |key: &str| machine[key].as_str().expect("an address").to_owned();
    Addresses { v4: text("private_ipv4"), v6: text("private_ip") }
}

fn addresses_of(instance: &Instance, id: &str) -> Addresses {
    addresses(&instance.get(&Instance::path(id)).expect(200))
}

/// Connects from a machine; what the other side says, or how it failed.
fn connect(instance: &Instance, id: &str, to: &str, port: &str) -> Result<String, String> {
    let outcome = instance.exec(id, &["/bin/guest-probe", "connect", to, port]);
    let text = |key: &str| outcome[key].as_str().expect("text").trim().to_owned();
    if outcome["exit_code"] == 0 { Ok(text("stdout")) } else { Err(text("stderr")) }
}

#[test]
fn machines_of_another_network_are_out_of_reach() {
    let instance = fixture::with_probe();
    let here = prisoner(&instance);
    let serve = format!("exec guest-probe serve {PORT} hello");
    let neighbour = fixture::started(&instance, &serve, &json!({}));
    let app = json!({"name": "other", "org_slug": "personal", "network": "another"});
    drop(instance.post("/v1/apps", &app).expect(201));
    let config = fixture::config(&serve, &json!({}));
    let made = instance.post("/v1/apps/other/machines", &json!({"config": config})).expect(200);
    let id = made["id"].as_str().expect("an id");
    let wait = format!("/v1/apps/other/machines/{id}/wait?state=started");
    drop(instance.get(&wait).expect(200));

    let neighbour = addresses_of(&instance, &neighbour);
    for address in [&neighbour.v4, &neighbour.v6] {
        testkit::eventually("the neighbour serves", || {
            connect(&instance, &here, address, PORT).ok().filter(|said| said == "hello")
        });
    }
    let stranger = addresses(&made);
    for address in [&stranger.v4, &stranger.v6] {
        let refused = connect(&instance, &here, address, PORT).expect_err("another network");
        assert!(refused.contains("No route to host"), "{address}: {refused}");
    }
}

#[test]
fn ports_of_the_host_are_out_of_reach_on_every_address() {
    let instance = fixture::with_probe();
    let id = prisoner(&instance);
    let v4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let v6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a port");
    let endpoint = instance.endpoint().expect("it listens");
    let api = endpoint["tcp"].as_str().expect("an address").rsplit(':').next().expect("a port");
    let api: u16 = api.parse().expect("a port");
    let mut tried = 0;
    for address in host_addresses() {
        let own = if address.is_ipv4() { &v4 } else { &v6 };
        let own = own.local_addr().expect("an address").port();
        for port in [own, api] {
            let reached = connect(&instance, &id, &address.to_string(), &port.to_string());
            assert!(reached.is_err(), "{address} {port}: {reached:?}");
            tried += 1;
        }
    }
    assert!(tried >= 4, "only {tried} addresses were tried");
    for listener in [v4, v6] {
        listener.set_nonblocking(true).expect("a socket");
        let nobody = listener.accept().expect_err("nobody has come");
        assert_eq!(nobody.kind(), ErrorKind::WouldBlock);
        // The listener would have heard it.
        let port = listener.local_addr().expect("an address").port();
        let is_v6 = listener.local_addr().expect("an address").is_ipv6();
        let loopback: IpAddr =
            if is_v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        drop(TcpStream::connect((loopback, port)).expect("the host reaches itself"));
    }
}

/// The host's own addresses, the machine's router, and where clouds answer with secrets.
fn host_addresses() -> Vec<IpAddr> {
    let output = Command::new("ip").args(["-json", "address"]).output().expect("iproute2");
    let links: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let of_host = links
        .as_array()
        .expect("links")
        .iter()
        .flat_map(|link| link["addr_info"].as_array().expect("addresses"))
        .filter(|info| info["scope"] != "link")
        .map(|info| info["local"].as_str().expect("an address").parse().expect("an address"));
    let others = ["169.254.1.1", "169.254.169.254", "fdaa::3", "fdaa::4", "100.64.0.1"];
    of_host.chain(others.map(|text| text.parse().expect("an address"))).collect()
}

#[test]
fn forged_senders_do_not_arrive() {
    let instance = fixture::with_probe();
    let liar = prisoner(&instance);
    let witness = prisoner(&instance);
    let hear = format!("exec guest-probe hear {PORT}");
    let ear = fixture::started(&instance, &hear, &json!({}));
    fixture::wait_for_line(&instance, &ear, "ready");
    let own = addresses_of(&instance, &liar).v4;
    let others = addresses_of(&instance, &witness).v4;
    let to = addresses_of(&instance, &ear).v4;

    let send = |verb: &str, source: &str, text: &str| {
        instance.exec(&liar, &["/bin/guest-probe", verb, source, &to, PORT, text])
    };
    let tell = |text: &str| {
        let told = instance.exec(&liar, &["/bin/guest-probe", "tell", &to, PORT, text]);
        assert_eq!(told["exit_code"], 0, "{told}");
    };
    tell("first");
    for verb in ["spoof", "spoof-frame"] {
        for source in [&*others, &*to, "169.254.1.1", "127.0.0.1", "10.1.2.3", "100.64.77.77"] {
            // The kernel of the machine may refuse already; what counts is who hears it.
            drop(send(verb, source, "a lie"));
        }
        let honest = send(verb, &own, "by hand");
        assert_eq!(honest["exit_code"], 0, "{honest}");
    }
    tell("last");
    fixture::wait_for_line(&instance, &ear, &format!("{own} says last"));
    let heard = ["first", "by hand", "by hand", "last"].map(|text| format!("{own} says {text}"));
    assert_eq!(instance.log(&ear)[1..], heard);
}

#[test]
fn a_machine_does_not_change_its_link_or_its_rules() {
    let instance = fixture::with_probe();
    let id = prisoner(&instance);
    let before = instance.sh(&id, "ip address; ip route; ip -6 route");
    let scripts = [
        "ip address add 100.64.77.77/32 dev eth0",
        "ip address flush dev eth0",
        "ip link set eth0 down",
        "ip link set eth0 address 02:00:00:00:00:01",
        "ip link add name out type dummy",
        "ip route add 1.1.1.1/32 dev eth0",
        "ip route del default",
        "ip neigh replace 169.254.1.1 lladdr 02:00:00:00:00:01 dev eth0",
        "ifconfig eth0 promisc",
        "ip tuntap add name tap0 mode tap",
    ];
    for script in scripts {
        let outcome = instance.exec(&id, &["/bin/sh", "-c", script]);
        assert_ne!(outcome["exit_code"], 0, "{script}: {outcome}");
    }
    assert_eq!(instance.sh(&id, "ip address; ip route; ip -6 route"), before);
}
