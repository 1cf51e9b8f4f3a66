//! Host names, chains and keys that are not taken: each says why.

use crate::house::{make_app, path};
use crate::pki::{Authority, Signed};
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use serde_json::{Value, json};
use testkit::Instance;

const WWW: &str = "www.example.test";

#[track_caller]
fn refused(instance: &Instance, body: &Value, code: &str) {
    let refusal = instance.post(&path("web", "/custom"), body).refusal(422);
    assert_eq!(refusal.code, code, "{refusal:?}");
    assert!(refusal.error.starts_with("Validation failed: "), "{refusal:?}");
    assert!(!format!("{refusal:?}").contains("-----BEGIN PRIVATE"), "{refusal:?}");
    assert_eq!(instance.get(&path("web", "")).expect(200)["total_count"], 0, "nothing is stored");
}

fn house() -> (Instance, Authority) {
    let instance = Instance::start();
    make_app(&instance, "web", "personal");
    let authority = Authority::new(instance.dir(), "ours");
    (instance, authority)
}

#[test]
fn each_bad_chain_and_key_says_what_is_wrong() {
    let (instance, authority) = house();
    let (good, other) = (authority.sign(&[WWW]), authority.sign(&[WWW]));
    let check = |signed: &Signed, code: &str| refused(&instance, &signed.body(WWW), code);
    let with_chain = |chain: &str| Signed { chain: chain.to_owned(), ..good.clone() };
    let with_key = |key: &str| Signed { key: key.to_owned(), ..good.clone() };

    check(&with_chain(""), "invalid_certificate");
    check(&with_chain("no PEM"), "invalid_certificate");
    check(&with_chain(&good.key), "invalid_certificate");
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check(&with_chain(garbage), "invalid_certificate");
    check(&with_chain(&" ".repeat(40_000)), "certificate_too_large");
    check(&with_chain(&good.chain.repeat(9)), "certificate_too_large");
    check(&with_chain(&format!("{}{}", good.chain, other.chain)), "broken_chain");
    check(&with_key(""), "invalid_private_key");
    check(&with_key(&good.chain), "invalid_private_key");
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    check(&with_key(locked), "invalid_private_key");
    check(&with_key(&other.key), "key_mismatch");
    check(&authority.sign(&["blog.example.test"]), "hostname_not_covered");
    check(&authority.sign(&["*.www.example.test"]), "hostname_not_covered");
    let expired = |p: &mut rcgen::CertificateParams| p.not_after = date_time_ymd(2021, 1, 1);
    check(&authority.sign_with(&[WWW], expired), "certificate_expired");
    let early = |p: &mut rcgen::CertificateParams| p.not_before = date_time_ymd(2098, 1, 1);
    check(&authority.sign_with(&[WWW], early), "certificate_not_yet_valid");
    let client = authority.sign_with(&[WWW], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    check(&client, "certificate_wrong_purpose");

    let whole = Signed { chain: format!("{}{}", good.chain, authority.pem), ..good.clone() };
    drop(instance.post(&path("web", "/custom"), &whole.body(WWW)).expect(201));
}

#[test]
fn what_is_no_host_name_is_refused() {
    let (instance, authority) = house();
    let good = authority.sign(&[WWW]);
    let names = [
        "",
        "example",
        "*.test",
        "192.0.2.1",
        "www.example.test:443",
        "a_b.example.test",
        "*",
        "a.*.example.test",
        "web.localhost",
        "web.internal",
        "bücher.test",
        "a b.example.test",
    ];
    for name in names {
        refused(&instance, &good.body(name), "invalid_hostname");
        let refusal = instance.post(&path("web", "/acme"), &json!({"hostname": name})).refusal(422);
        assert_eq!(refusal.code, "invalid_hostname", "{name}");
    }
    refused(&instance, &good.body(&format!("{}.test", "a".repeat(300))), "invalid_hostname");
    refused(&instance, &json!({}), "invalid_hostname");
}

#[test]
fn a_body_of_another_kind_is_refused() {
    let (instance, _authority) = house();
    for body in [json!({"hostname": 7}), json!({"hostname": WWW, "fullchain": ["x"]})] {
        let reply = instance.post(&path("web", "/custom"), &body);
        assert_eq!(reply.status, 400, "{}", reply.text);
    }
    let large = json!({"hostname": WWW, "fullchain": "x".repeat(2 * 1024 * 1024)});
    assert_eq!(instance.post(&path("web", "/custom"), &large).status, 413);
}
