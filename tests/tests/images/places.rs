//! Where registries are: behind TLS of a private authority, on the operator's list, without TLS
//! beyond loopback.

use crate::tap::Tap;
use crate::{ask, marker, pull, push, refused};
use std::net::Ipv4Addr;
use std::process::Command;
use testkit::registry::{Access, Registry};
use testkit::{Builder, Instance};

#[test]
fn a_private_authority_counts_once_the_operator_names_it() {
    let registry = Registry::start(Access::Tls);
    push(&registry, "web", "sealed");
    let reference = registry.reference("web");
    let stranger = Instance::start();
    let refusal = refused(ask(&stranger, &reference, &[]), 502, "registry_unreachable");
    assert!(refusal.hint.contains("CA"), "{refusal:?}");

    let option = format!("--registry-ca={}", registry.authority().display());
    let friend = Builder::default().arg(&option).start();
    drop(pull(&friend, &reference));
    assert_eq!(marker(&friend, &reference), "sealed");
}

#[test]
fn only_registries_on_the_list_are_asked() {
    let (listed, other) = (Registry::start(Access::Open), Registry::start(Access::Open));
    for registry in [&listed, &other] {
        push(registry, "team/web", "x");
        push(registry, "else/web", "x");
    }
    let option = format!("--allow-registry={}/team", listed.address());
    let instance = Builder::default().arg(&option).start();
    drop(pull(&instance, &listed.reference("team/web")));
    for reference in [listed.reference("else/web"), other.reference("team/web")] {
        let refusal = refused(ask(&instance, &reference, &[]), 403, "registry_not_allowed");
        assert!(refusal.hint.contains("operator"), "{refusal:?}");
    }
}

#[test]
fn an_insecure_registry_may_show_any_certificate() {
    let registry = Registry::start(Access::Tls);
    push(&registry, "web", "sealed by nobody");
    let address = Address::add();
    // Neither is its authority known here, nor does the certificate speak of this address.
    let tap = Tap::before(registry.port(), address.0);
    let careful = Instance::start();
    let refusal = refused(ask(&careful, &tap.reference("web"), &[]), 502, "registry_unreachable");
    assert!(refusal.hint.contains("--insecure-registry"), "{refusal:?}");

    let option = format!("--insecure-registry={}", tap.address());
    let careless = Builder::default().arg(&option).start();
    drop(pull(&careless, &tap.reference("web")));
    assert_eq!(marker(&careless, &tap.reference("web")), "sealed by nobody");
    // The word is about this one: the same registry under another name has to prove who it is.
    drop(refused(ask(&careless, &registry.reference("web"), &[]), 502, "registry_unreachable"));
}

/// An address of this host that is not loopback's own; gone when dropped.
struct Address(Ipv4Addr);

impl Address {
    /// One of the range for measurements between networks, which nobody routes (RFC 2544), drawn by
    /// the id of this process.
    fn add() -> Self {
        let [.., c, d] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(198, 18, c, d);
        assert!(ip("add", address), "the address can be added");
        Self(address)
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        ip("del", self.0);
    }
}

fn ip(verb: &str, address: Ipv4Addr) -> bool {
    let status =
        Command::new("ip").args(["address", verb, &format!("{address}/32"), "dev", "lo"]).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn beyond_loopback_a_registry_without_tls_has_to_be_named() {
    let registry = Registry::start(Access::Open);
    push(&registry, "web", "plain");
    let address = Address::add();
    let tap = Tap::before(registry.port(), address.0);
    let careful = Instance::start();
    drop(refused(ask(&careful, &tap.reference("web"), &[]), 502, "registry_unreachable"));

    let option = format!("--insecure-registry={}", tap.address());
    let careless = Builder::default().arg(&option).start();
    drop(pull(&careless, &tap.reference("web")));
    assert_eq!(marker(&careless, &tap.reference("web")), "plain");
}
