//! Egress rules as clients write them.

use crate::problem::Problem;
use crate::spec::{parse, to_spec};
use model::spec::egress::EgressPolicy;
use serde_json::{Value, json};

fn egress(egress: &Value) -> Result<Option<EgressPolicy>, Problem> {
    let config = parse(&json!({"image": "demo", "egress": egress}))?;
    to_spec(&config).map(|spec| spec.egress)
}

#[test]
fn absence_lets_a_machine_speak_to_everyone() {
    assert_eq!(egress(&Value::Null), Ok(None));
    let spec = to_spec(&parse(&json!({"image": "demo"})).expect("a config"));
    assert_eq!(spec.expect("valid").egress, None);
}

#[test]
fn rules_become_what_they_say() {
    let given = json!({"default": "deny", "rules": [
        {"action": "allow", "to": "*.Example.com", "protocol": "tcp", "ports": [443, "8000-8999"]},
        {"action": "deny", "to": "10.0.0.0/8", "protocol": null, "ports": null},
        {"action": "allow", "to": "2001:db8::1", "protocol": "", "ports": []},
        {"action": "allow", "to": "*", "protocol": "icmp"},
    ]});
    let expected = json!({"default": "deny", "rules": [
        {"action": "allow", "to": "*.example.com", "protocol": "tcp",
         "ports": ["443", "8000-8999"]},
        {"action": "deny", "to": "10.0.0.0/8", "protocol": null, "ports": []},
        {"action": "allow", "to": "2001:db8::1/128", "protocol": null, "ports": []},
        {"action": "allow", "to": "*", "protocol": "icmp", "ports": []},
    ]});
    let policy = egress(&given).expect("valid").expect("a policy");
    assert_eq!(serde_json::to_value(&policy).expect("JSON"), expected);
    let open = egress(&json!({"default": "allow"})).expect("valid").expect("a policy");
    assert!(open.allows_everything());
}

#[track_caller]
fn refused(given: &Value, code: &str, part: &str) {
    let problem = egress(given).expect_err("must be refused");
    assert_eq!(problem.status.as_u16(), 400, "{given}");
    assert_eq!(problem.body.code, code, "{given}: {}", problem.body.error);
    assert!(problem.body.error.contains(part), "{given}: {}", problem.body.error);
    assert!(problem.body.hint.is_some(), "{given}");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let rule =
        |rule: Value| json!({"default": "deny", "rules": [{"action": "deny", "to": "*"}, rule]});
    for (given, part) in [
        (json!({}), "config.egress.default is required"),
        (json!({"default": ""}), "config.egress.default is required"),
        (json!({"default": "Deny"}), "config.egress.default `Deny` is unknown"),
        (rule(json!({})), "config.egress.rules[1].action is required"),
        (rule(json!({"action": "drop"})), "config.egress.rules[1].action `drop` is unknown"),
        (rule(json!({"action": "allow"})), "config.egress.rules[1].to is required"),
        (rule(json!({"action": "allow", "to": "10.0.0.1/8"})), "rules[1].to: `10.0.0.1/8` is not"),
        (rule(json!({"action": "allow", "to": "http://x.com"})), "rules[1].to: `http://x.com`"),
        (
            rule(json!({"action": "allow", "to": "*", "protocol": "sctp"})),
            "config.egress.rules[1].protocol `sctp` is unknown",
        ),
        (rule(json!({"action": "allow", "to": "*", "ports": [0]})), "rules[1].ports[0]: `0` is"),
        (rule(json!({"action": "allow", "to": "*", "ports": [70000]})), "rules[1].ports[0]:"),
        (rule(json!({"action": "allow", "to": "*", "ports": ["9-8"]})), "rules[1].ports[0]: `9-8`"),
        (
            rule(json!({"action": "allow", "to": "*", "protocol": "icmp", "ports": [7]})),
            "config.egress.rules[1].ports: rule 1 is about `icmp`",
        ),
        (
            rule(json!({"action": "allow", "to": "*", "ports": vec![7; 17]})),
            "config.egress.rules[1].ports: rule 1 has more than 16",
        ),
        (
            json!({"default": "deny", "rules": vec![json!({"action": "deny", "to": "*"}); 65]}),
            "config.egress.rules: 65 rules are more than 64",
        ),
    ] {
        refused(&given, "invalid_egress", part);
    }
}

#[test]
fn what_has_the_wrong_type_is_named_with_its_place() {
    for (given, part) in [
        (json!("deny"), "config.egress"),
        (json!([]), "config.egress"),
        (json!({"default": true}), "config.egress.default"),
        (json!({"default": "deny", "rules": {}}), "config.egress.rules"),
        (json!({"default": "deny", "rules": ["*"]}), "config.egress.rules[0]"),
        (json!({"default": "deny", "rules": [{"to": 7}]}), "config.egress.rules[0].to"),
        (json!({"default": "deny", "rules": [{"ports": 7}]}), "config.egress.rules[0].ports"),
        (json!({"default": "deny", "rules": [{"ports": [-7]}]}), "config.egress.rules[0].ports[0]"),
    ] {
        refused(&given, "wrong_type", part);
    }
}
