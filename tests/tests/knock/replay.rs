//! A program that answers "ask that one": `fly-replay`, and who is asked then.

use crate::house::{HOST, HTTP, expect_from, house, http, sleeper, sleeper_of, starts};
use serde_json::json;
use testkit::{Asked, Instance, Reply};

/// Asks machine `from`, which orders `order`.
#[track_caller]
fn replay(instance: &Instance, from: &str, order: &str) -> Reply {
    let order = format!("fly-replay: {order}");
    let headers = [("fly-force-instance-id", from), ("answer-with", order.as_str())];
    instance.visit_with(HTTP, HOST, "/path?query", &headers)
}

/// The request header that the answering program saw.
#[track_caller]
fn saw<'a>(reply: &'a Reply, name: &str) -> &'a str {
    let mut lines = reply.text.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {name} in\n{}", reply.text))
}

#[test]
fn another_machine_is_asked_and_woken_for_it() {
    let instance = house();
    let ids: Vec<String> = (0..2).map(|_| sleeper(&instance, "http 80", &[http()])).collect();
    let reply = replay(&instance, &ids[0], &format!("instance={};state=of mind", ids[1]));
    expect_from(&reply, &ids[1]);
    let source = saw(&reply, "fly-replay-src");
    assert!(source.starts_with(&format!("instance={};region=", ids[0])), "{source}");
    assert!(source.contains(";t=") && source.ends_with(";state=of mind"), "{source}");
    assert!(reply.text.starts_with("HTTP/1.1 GET /path?query\n"), "{}", reply.text);
    assert!(reply.header("server-timing").is_some(), "it was woken: {reply:?}");
    assert_eq!(starts(&instance, &ids[1])[0]["cause"], "knock");
    assert_eq!(reply.header("fly-replay"), None);
    for order in [format!("prefer_instance={}", ids[1]), "elsewhere=true".to_owned()] {
        expect_from(&replay(&instance, &ids[0], &order), &ids[1]);
    }
    let missing = replay(&instance, &ids[0], "prefer_instance=0123456789abcd;elsewhere=true");
    expect_from(&missing, &ids[1]);
}

#[test]
fn another_app_of_the_network_is_asked() {
    let instance = house();
    let one = sleeper(&instance, "http 80", &[http()]);
    let two = sleeper_of(&instance, "two", "http 80", &json!({"services": [http()]}));
    expect_from(&replay(&instance, &one, "app=two"), &two);
    let unknown = replay(&instance, &one, "app=three");
    assert_eq!((unknown.status, &unknown.body["code"]), (502, &json!("replay_unknown_app")));
    let made = json!({"name": "far", "org_slug": "personal", "network": "another"});
    drop(instance.post("/v1/apps", &made).expect(201));
    let _far = sleeper_of(&instance, "far", "http 80", &json!({"services": [http()]}));
    let far = replay(&instance, &one, "app=far");
    assert_eq!(
        (far.status, &far.body["code"]),
        (502, &json!("replay_other_network")),
        "{}",
        far.text
    );
}

#[test]
fn a_replay_that_fails_comes_back_to_who_ordered_it() {
    let instance = house();
    let one = sleeper(&instance, "http 80", &[http()]);
    let deaf = sleeper(&instance, "deaf 80", &[http()]);
    for fallback in ["force_self", "prefer_self"] {
        let order = format!("instance={deaf};timeout=500ms;fallback={fallback}");
        let reply = replay(&instance, &one, &order);
        expect_from(&reply, &one);
        let failed = saw(&reply, "fly-replay-failed");
        assert!(failed.starts_with(&format!("instance={one};app=test;region=")), "{failed}");
        assert!(failed.contains(";reason=timeout;elapsed_ms="), "{failed}");
    }
    let reply = replay(&instance, &one, "instance=0123456789abcd;fallback=force_self");
    expect_from(&reply, &one);
    assert!(saw(&reply, "fly-replay-failed").contains(";reason=no_candidate;"), "{}", reply.text);
    let reply = replay(&instance, &one, &format!("instance={deaf};timeout=300ms"));
    assert_eq!(reply.status, 503, "{}", reply.text);
}

#[test]
fn bodies_are_sent_again_up_to_a_bound() {
    let instance = house();
    let ids: Vec<String> = (0..2).map(|_| sleeper(&instance, "http 80", &[http()])).collect();
    let order = format!("fly-replay: instance={}", ids[1]);
    let headers = [("fly-force-instance-id", ids[0].as_str()), ("answer-with", order.as_str())];
    let body = "z".repeat(900 * 1024);
    let asked = Asked { method: "POST", headers: &headers, ..Asked::get(HOST, "/") };
    let reply = instance.visit_as(HTTP, &Asked { body: body.as_bytes(), ..asked });
    expect_from(&reply, &ids[1]);
    assert!(reply.text.ends_with(&format!("\n{body}")), "the body arrives whole");
    let body = "z".repeat(2 * 1024 * 1024);
    let reply = instance.visit_as(HTTP, &Asked { body: body.as_bytes(), ..asked });
    assert_eq!((reply.status, &reply.body["code"]), (502, &json!("replay_body_too_large")));
}

#[test]
fn the_json_form_changes_the_request() {
    let instance = house();
    let ids: Vec<String> = (0..2).map(|_| sleeper(&instance, "http 80", &[http()])).collect();
    let order = json!({"instance": ids[1], "state": "s", "transform": {"path": "/other?x=1",
        "delete_headers": ["x-secret"], "set_headers": [{"name": "x-new", "value": "yes"}]}});
    let order = order.to_string();
    let headers = [
        ("fly-force-instance-id", ids[0].as_str()),
        ("answer-json", order.as_str()),
        ("x-secret", "1"),
    ];
    let reply = instance.visit_with(HTTP, HOST, "/path", &headers);
    expect_from(&reply, &ids[1]);
    assert!(reply.text.starts_with("HTTP/1.1 GET /other?x=1\n"), "{}", reply.text);
    assert_eq!(saw(&reply, "x-new"), "yes");
    assert!(!reply.text.contains("\nx-secret:"), "{}", reply.text);
}

#[test]
fn orders_that_lead_nowhere_end() {
    let instance = house();
    let ids: Vec<String> = (0..2).map(|_| sleeper(&instance, "http 80", &[http()])).collect();
    let for_ever = [("answer-always", "fly-replay: elsewhere=true")];
    let reply = instance.visit_with(HTTP, HOST, "/", &for_ever);
    assert_eq!((reply.status, &reply.body["code"]), (502, &json!("replay_loop")), "{}", reply.text);
    for order in ["nonsense", "instance=nobody", "fallback=maybe"] {
        let reply = replay(&instance, &ids[0], order);
        let code = &reply.body["code"];
        assert_eq!((reply.status, code), (502, &json!("replay_malformed")), "{}", reply.text);
    }
}
