//! Rules: what can be written, what cannot, what fits.

use super::*;

#[track_caller]
fn check_target(text: &str, expected: Option<&str>) {
    let parsed: Result<EgressTarget, _> = text.parse();
    assert_eq!(parsed.ok().map(|target| target.to_string()).as_deref(), expected, "{text}");
}

#[test]
fn targets_are_told_apart_by_their_form() {
    assert_eq!("*".parse(), Ok(EgressTarget::Anywhere));
    assert!(matches!("10.0.0.0/8".parse(), Ok(EgressTarget::Cidr(_))));
    assert!(matches!("example.com".parse(), Ok(EgressTarget::Domain(_))));
    check_target("192.0.2.1", Some("192.0.2.1/32"));
    check_target("2001:db8::1", Some("2001:db8::1/128"));
    check_target("0.0.0.0/0", Some("0.0.0.0/0"));
    check_target("::/0", Some("::/0"));
    check_target("2001:DB8::/32", Some("2001:db8::/32"));
    check_target("Example.COM.", Some("example.com"));
    check_target("*.example.com", Some("*.example.com"));
    check_target("_acme.example.com", Some("_acme.example.com"));
    check_target("localhost", Some("localhost"));
}

#[test]
fn what_is_no_target_is_refused() {
    for text in [
        "",
        ".",
        "*.",
        "**",
        "*.*.com",
        "a..b",
        "-a.com",
        "a-.com",
        "a b.com",
        "exämple.com",
        "1.2.3",
        "1.2.3.4.5",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/+8",
        "10.0.0.0/",
        "::/129",
        "2001:db8::1/64",
        "::ffff:10.0.0.1",
        "::ffff:10.0.0.0/104",
        "example.com/24",
        "a.*.com",
        "fe80::1%eth0",
        "http://example.com",
        "example.com:443",
        "a\0.com",
        "256.0.0.1",
    ] {
        check_target(text, None);
    }
    check_target(&format!("{}.com", "a".repeat(64)), None);
    let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(61));
    check_target(&longest, Some(&longest));
    check_target(&format!("{longest}a"), None);
}

#[test]
fn ports_are_one_or_a_range() {
    #[track_caller]
    fn check(text: &str, expected: Option<(u16, u16)>) {
        let parsed: Result<PortRange, _> = text.parse();
        assert_eq!(parsed.ok().map(|ports| (ports.first(), ports.last())), expected, "{text}");
    }
    check("443", Some((443, 443)));
    check("8000-8999", Some((8000, 8999)));
    check("1-65535", Some((1, 65535)));
    for text in ["", "0", "0-5", "9-8", "65536", "-5", "5-", "+5", "1-2-3", "http", " 5"] {
        check(text, None);
    }
}

#[test]
fn a_domain_fits_itself_and_a_star_what_is_below() {
    #[track_caller]
    fn check(domain: &str, name: &str, fits: bool) {
        let domain: Domain = domain.parse().expect("a domain");
        assert_eq!(domain.contains(name), fits, "{domain} {name}");
    }
    check("example.com", "example.com", true);
    check("example.com", "EXAMPLE.com.", true);
    check("example.com", "www.example.com", false);
    check("example.com", "badexample.com", false);
    check("*.example.com", "www.example.com", true);
    check("*.example.com", "a.b.Example.Com.", true);
    check("*.example.com", "example.com", false);
    check("*.example.com", ".example.com", false);
    check("*.example.com", "badexample.com", false);
    check("*.example.com", "example.com.evil.net", false);
    check("*.example.com", "", false);
    check("*.example.com", "é.example.com", true);
    check("*.example.com", "wwwéexample.com", false);
}

fn rule(text: &str) -> EgressRule {
    serde_json::from_str(text).expect("a rule")
}

#[test]
fn a_policy_is_bounded_and_its_parts_go_together() {
    let any = rule(r#"{"action":"deny","to":"*"}"#);
    let policy = |rules| EgressPolicy { default: EgressAction::Allow, rules };
    assert_eq!(policy(vec![any.clone(); EGRESS_RULES_MAX]).validate(), Ok(()));
    let n_rules = EGRESS_RULES_MAX + 1;
    let too_many = EgressProblem::TooManyRules { n_rules };
    assert_eq!(policy(vec![any.clone(); n_rules]).validate(), Err(too_many));

    let mut ports = any.clone();
    ports.ports = vec![PortRange::new(1, 2).expect("ports"); EGRESS_PORTS_MAX];
    assert_eq!(policy(vec![ports.clone()]).validate(), Ok(()));
    ports.ports.push(PortRange::new(1, 2).expect("ports"));
    let too_many = EgressProblem::TooManyPorts { rule_idx: 1 };
    assert_eq!(policy(vec![any, ports]).validate(), Err(too_many));

    let ping = rule(r#"{"action":"deny","to":"*","protocol":"icmp","ports":["7"]}"#);
    let no_ports = EgressProblem::PortsOfIcmp { rule_idx: 0 };
    assert_eq!(policy(vec![ping]).validate(), Err(no_ports));
}

#[test]
fn a_policy_keeps_its_form_in_records() {
    let text = r#"{"default":"deny","rules":[{"action":"allow","to":"*.example.com","protocol":"tcp","ports":["443","8000-8999"]},{"action":"allow","to":"10.0.0.0/8","protocol":null,"ports":[]}]}"#;
    let policy: EgressPolicy = serde_json::from_str(text).expect("a policy");
    assert_eq!(serde_json::to_string(&policy).expect("text"), text);
    let names: Vec<&str> = policy.domains().into_iter().map(Domain::as_str).collect();
    assert_eq!(names, ["*.example.com"]);
    assert!(!policy.allows_everything());
    let open: EgressPolicy = serde_json::from_str(r#"{"default":"allow"}"#).expect("a policy");
    assert!(open.allows_everything());
    let wrong = r#"{"default":"deny","rules":[{"action":"allow","to":"10.0.0.1/8"}]}"#;
    assert!(serde_json::from_str::<EgressPolicy>(wrong).is_err());
}

#[test]
fn names_are_of_use_where_any_address_may_be_reached() {
    #[track_caller]
    fn check(text: &str, leads_anywhere: bool) {
        let policy: EgressPolicy = serde_json::from_str(text).expect("a policy");
        assert_eq!(policy.leads_anywhere(), leads_anywhere, "{text}");
    }
    let deny = |rule: &str| format!(r#"{{"default":"deny","rules":[{rule}]}}"#);
    check(r#"{"default":"allow"}"#, true);
    check(r#"{"default":"allow","rules":[{"action":"deny","to":"*"}]}"#, false);
    check(r#"{"default":"allow","rules":[{"action":"deny","to":"*","ports":["25"]}]}"#, true);
    check(r#"{"default":"deny"}"#, false);
    check(&deny(r#"{"action":"allow","to":"*","ports":["443"]}"#), true);
    check(&deny(r#"{"action":"allow","to":"0.0.0.0/0"}"#), true);
    check(&deny(r#"{"action":"allow","to":"::/0"}"#), true);
    check(&deny(r#"{"action":"deny","to":"*"}"#), false);
    check(&deny(r#"{"action":"allow","to":"10.0.0.0/8"}"#), false);
    check(&deny(r#"{"action":"allow","to":"*.example.com"}"#), false);
}
