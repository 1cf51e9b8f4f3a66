//! A name has one app, a wildcard and what it covers one organisation.

use crate::house::{add, add_local, make_app, path};
use crate::pki::Authority;
use serde_json::json;
use testkit::Instance;

#[track_caller]
fn refused(instance: &Instance, app: &str, hostname: &str) {
    let refusal = instance.post(&path(app, "/acme"), &json!({"hostname": hostname})).refusal(422);
    assert_eq!(refusal.code, "hostname_taken", "{refusal:?}");
    let shown = format!("{refusal:?}");
    assert!(!shown.contains("alpha") && !shown.contains("acme-inc"), "who has it: {shown}");
}

#[test]
fn a_second_app_does_not_get_a_name_nor_learn_whose_it_is() {
    let instance = Instance::start();
    for app in ["alpha", "beta"] {
        make_app(&instance, app, "personal");
    }
    drop(add_local(&instance, "alpha", "www.example.test"));
    refused(&instance, "beta", "www.example.test");
    refused(&instance, "beta", "WWW.EXAMPLE.test.");
    let authority = Authority::new(instance.dir(), "ours");
    let signed = authority.sign(&["www.example.test"]);
    let refusal = add(&instance, "beta", "www.example.test", &signed).refusal(422);
    assert_eq!(refusal.code, "hostname_taken");
    for (method, rest) in [("GET", ""), ("DELETE", ""), ("DELETE", "/acme"), ("POST", "/check")] {
        let target = path("beta", &format!("/www.example.test{rest}"));
        let refusal = instance.request(method, &target, &json!(null)).refusal(404);
        assert_eq!(refusal.code, "certificate_not_found", "{method} {target}");
    }
    assert_eq!(instance.get(&path("beta", "")).expect(200)["total_count"], 0);
    assert_eq!(instance.get(&path("alpha", "/www.example.test")).status, 200);

    assert_eq!(instance.delete("/v1/apps/alpha").status, 202);
    drop(add_local(&instance, "beta", "www.example.test"));
}

#[test]
fn nobody_takes_visitors_from_under_anothers_wildcard() {
    let instance = Instance::start();
    for (app, org) in [("alpha", "acme-inc"), ("alpha2", "acme-inc"), ("beta", "personal")] {
        make_app(&instance, app, org);
    }
    drop(add_local(&instance, "alpha", "*.example.test"));
    refused(&instance, "beta", "www.example.test");
    drop(add_local(&instance, "alpha2", "www.example.test"));
    drop(add_local(&instance, "beta", "a.b.example.test"));
    drop(add_local(&instance, "beta", "example.test"));
    drop(add_local(&instance, "alpha", "www.example.org"));
    refused(&instance, "beta", "*.example.org");
    drop(add_local(&instance, "alpha2", "*.example.org"));
}
