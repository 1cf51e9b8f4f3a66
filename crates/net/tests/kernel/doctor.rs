//! What the doctor says about hosts of many kinds; a fresh namespace plays the host's.

use crate::world::{World, on_private_host, output_of};
use model::InstanceTag;
use net::doctor::{self, Finding, Severity};
use net::router::{Egress, uplink_name};
use std::fs;
use std::process::Command;

fn tag() -> InstanceTag {
    "abcde".parse().expect("a tag")
}

fn look() -> Vec<Finding> {
    doctor::findings(&tag(), Egress::Nat)
}

#[track_caller]
fn finding(found: &[Finding], code: &str) -> Finding {
    let named = found.iter().find(|finding| finding.code == code);
    named.unwrap_or_else(|| panic!("no `{code}` in {found:?}")).clone()
}

fn has(found: &[Finding], code: &str) -> bool {
    found.iter().any(|finding| finding.code == code)
}

fn set(name: &str, value: &str) {
    fs::write(format!("/proc/sys/net/{name}"), value).expect("writable");
}

#[test]
fn a_plain_host_is_fit() {
    on_private_host(|| {
        let world = World::with_egress(Egress::Nat);
        let found = doctor::findings(&world.tag, Egress::Nat);
        assert!(found.iter().all(|f| f.severity < Severity::Failure), "{found:?}");
        assert!(has(&found, "ip_forward"));
        for code in ["forward_policy_drop", "firewalld", "ufw", "legacy_firewall", "ip_forward_off"]
        {
            assert!(!has(&found, code), "{found:?}");
        }
    });
}

#[test]
fn a_chain_that_drops_forwarded_packets_is_named() {
    on_private_host(|| {
        output_of("nft", "add table ip other");
        let chain = "{ type filter hook forward priority 0 ; policy drop ; }";
        output_of("nft", &format!("add chain ip other FORWARD {chain}"));
        let found = finding(&look(), "forward_policy_drop");
        assert!(found.text.contains("`ip other FORWARD`"), "{}", found.text);
        assert!(found.text.contains(&uplink_name(&tag())), "{}", found.text);
        assert!(!found.hint.contains("DOCKER-USER"));
        output_of("nft", "add chain ip other DOCKER-USER");
        assert!(finding(&look(), "forward_policy_drop").hint.contains("DOCKER-USER"));
        output_of("nft", "add chain ip other ufw-before-forward");
        finding(&look(), "ufw");
        output_of("nft", "add table inet firewalld");
        output_of("nft", "add chain inet firewalld filter_FORWARD");
        finding(&look(), "firewalld");
        assert!(!has(&doctor::findings(&tag(), Egress::Off), "forward_policy_drop"));
    });
}

#[test]
fn the_old_iptables_is_looked_into_when_it_is_in_use() {
    on_private_host(|| {
        if Command::new("iptables-legacy")
            .args(["-S"])
            .output()
            .map_or(true, |o| !o.status.success())
        {
            let why = "skipped the old iptables: this host cannot run iptables-legacy";
            return testkit::report::line("net", why);
        }
        assert!(!has(&look(), "forward_policy_drop"));
        output_of("iptables-legacy", "-P FORWARD DROP");
        let found = finding(&look(), "forward_policy_drop");
        assert!(found.text.contains("`iptables-legacy`"), "{}", found.text);
        output_of("iptables-legacy", "-N DOCKER-USER");
        output_of("iptables-legacy", "-N ufw-user-forward");
        let found = look();
        assert!(finding(&found, "forward_policy_drop").hint.contains("DOCKER-USER"));
        finding(&found, "ufw");
        output_of("iptables-legacy", "-P FORWARD ACCEPT");
        assert!(!has(&look(), "forward_policy_drop"));
    });
}

/// Looking must not bring tables into use that nobody uses.
#[test]
fn looking_changes_nothing() {
    on_private_host(|| {
        look();
        assert_eq!(output_of("nft", "list ruleset"), "");
        let tables = fs::read_to_string("/proc/thread-self/net/ip_tables_names");
        assert_eq!(tables.unwrap_or_default(), "");
    });
}

#[test]
fn forwarding_that_was_turned_off_again_is_a_failure() {
    on_private_host(|| {
        assert_eq!(finding(&look(), "ip_forward_off").severity, Severity::Note);
        let world = World::with_egress(Egress::Nat);
        let look = || doctor::findings(&world.tag, Egress::Nat);
        assert!(!has(&look(), "ip_forward_off"));
        set("ipv4/ip_forward", "0");
        assert_eq!(finding(&look(), "ip_forward_off").severity, Severity::Failure);
    });
}

#[test]
fn a_strict_check_of_sources_is_noted() {
    on_private_host(|| {
        set("ipv4/conf/all/rp_filter", "0");
        set("ipv4/conf/default/rp_filter", "0");
        let world = World::with_egress(Egress::Nat);
        let look = || doctor::findings(&world.tag, Egress::Nat);
        assert!(!has(&look(), "rp_filter_strict"));
        set(&format!("ipv4/conf/{}/rp_filter", uplink_name(&world.tag)), "1");
        assert_eq!(finding(&look(), "rp_filter_strict").severity, Severity::Note);
        set("ipv4/conf/all/rp_filter", "2");
        assert!(!has(&look(), "rp_filter_strict"), "the larger one counts");
    });
}

/// Runs itself again where no program is found.
#[test]
fn a_host_without_nft_is_told() {
    const NOWHERE: &str = "/nowhere";
    if std::env::var("PATH").as_deref() == Ok(NOWHERE) {
        let found = doctor::findings(&tag(), Egress::Nat);
        assert_eq!(finding(&found, "nft_missing").severity, Severity::Failure);
        return;
    }
    let again = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "doctor::a_host_without_nft_is_told"])
        .env("PATH", NOWHERE)
        .output()
        .expect("it runs");
    assert!(again.status.success(), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stdout).contains("1 passed"), "{again:?}");
}
