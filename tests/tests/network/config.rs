//! `egress` of a machine's configuration, as callers see it.

use crate::waiting;
use serde_json::{Value, json};
use testkit::Instance;
use tests::fixture;

#[test]
fn the_rules_are_shown_as_they_were_given_and_replaced_with_the_whole() {
    let instance = fixture::with_busybox();
    let egress = json!({"default": "deny", "rules": [
        {"action": "allow", "to": "*.example.com", "protocol": "tcp", "ports": [443, "8000-8999"]}]});
    let id = waiting(&instance, &json!({"egress": egress}));
    let shown = || instance.get(&Instance::path(&id)).expect(200)["config"]["egress"].clone();
    assert_eq!(shown(), egress);
    let other = json!({"default": "allow"});
    let update = |egress: Value| {
        let more = json!({"init": {"exec": ["/bin/sleep", "600"]}, "egress": egress});
        let body = json!({"config": fixture::config("", &more)});
        drop(instance.post(&Instance::path(&id), &body).expect(200));
        instance.wait_for(&id, "started");
    };
    update(other.clone());
    assert_eq!(shown(), other);
    update(Value::Null);
    assert_eq!(shown(), Value::Null);
}

#[test]
fn rules_that_cannot_be_are_refused_with_their_place() {
    let instance = fixture::with_busybox();
    instance.ensure_app();
    for (egress, code, place) in [
        (json!({}), "invalid_egress", "config.egress.default"),
        (json!("deny"), "wrong_type", "config.egress"),
        (
            json!({"default": "deny", "rules": [{"action": "allow", "to": "10.0.0.1/8"}]}),
            "invalid_egress",
            "config.egress.rules[0].to",
        ),
        (
            json!({"default": "deny", "rules": [{"action": "allow", "to": "*", "ports": ["x"]}]}),
            "invalid_egress",
            "config.egress.rules[0].ports[0]",
        ),
    ] {
        let config = fixture::config("true", &json!({"egress": egress}));
        let refused =
            instance.post("/v1/apps/test/machines", &json!({"config": config})).refusal(400);
        assert_eq!(refused.code, code, "{egress}");
        assert!(refused.error.contains(place), "{egress}: {}", refused.error);
        assert!(!refused.hint.is_empty(), "{egress}");
    }
    assert_eq!(instance.get("/v1/apps/test/machines").expect(200), json!([]));
}
