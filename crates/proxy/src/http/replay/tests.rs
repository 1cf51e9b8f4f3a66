//! Orders and how they are read.

use super::{Fallback, Order, SetHeader, Transform, parse_duration};
use std::time::Duration;

const ID: &str = "0123456789abcd";

fn id() -> Option<model::MachineId> {
    Some(ID.parse().expect("an id"))
}

#[track_caller]
fn check(text: &str, expected: Order) {
    assert_eq!(Order::from_header(text), Ok(expected), "{text:?}");
}

fn regions(all: &[&str]) -> Vec<String> {
    all.iter().map(|region| (*region).to_owned()).collect()
}

#[test]
fn fields_of_the_header() {
    check(&format!("instance={ID}"), Order { instance: id(), ..Order::default() });
    check(&format!("prefer_instance={ID}"), Order { prefer_instance: id(), ..Order::default() });
    check("app=other", Order { app: Some("other".to_owned()), ..Order::default() });
    check("elsewhere=true", Order { is_elsewhere: true, ..Order::default() });
    check("elsewhere=false", Order::default());
    let timeout = Some(Duration::from_millis(800));
    let fallback = Some(Fallback::PreferSelf);
    check("timeout=800ms; fallback=prefer_self", Order { timeout, fallback, ..Order::default() });
    let fallback = Some(Fallback::ForceSelf);
    check("fallback=force_self;", Order { fallback, ..Order::default() });
}

#[test]
fn regions_are_lists_with_or_without_quotes() {
    let two = Order { regions: regions(&["ams", "fra"]), ..Order::default() };
    check("region=ams,fra", two.clone());
    check("region=\"ams, fra\"", two.clone());
    check("region=ams,fra;state=x", Order { state: Some("x".to_owned()), ..two });
    check("region=any", Order::default());
    check("region=\"ams,any\"", Order::default());
}

#[test]
fn commas_between_pairs_are_taken_when_they_can_be_nothing_else() {
    let order =
        Order { app: Some("b".to_owned()), state: Some("c,d".to_owned()), ..Order::default() };
    check("app=b,state=c,d", order.clone());
    check("app=b;state=\"c,d\"", order);
    let order = Order { state: Some("a;b\"c,app=x".to_owned()), ..Order::default() };
    check("state=\"a;b\\\"c,app=x\"", order);
}

#[test]
fn what_cannot_be_read_is_malformed() {
    for bad in [
        "",
        ";",
        "x",
        "x=y",
        "instance=nope",
        "elsewhere=maybe",
        "timeout=10",
        "timeout=s",
        "app=",
        "fallback=other",
        "state=\"x",
        "app",
    ] {
        assert!(Order::from_header(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "[]", "{\"instance\":1}", "{\"timeout\":\"x\"}", "{\"fallback\":\"x\"}"] {
        assert!(Order::from_json(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn the_json_form_has_the_same_fields_and_changes() {
    let text = format!(
        r#"{{"instance":"{ID}","app":"b","region":["ams","fra"],"elsewhere":true,"state":"s",
            "timeout":"2s","fallback":"force_self","allow_bypass":true,"cache":{{"ttl":10}},
            "transform":{{"path":"/x?y","delete_headers":["a"],
                          "set_headers":[{{"name":"b","value":"c"}}]}}}}"#
    );
    let set_headers = vec![SetHeader { name: "b".to_owned(), value: "c".to_owned() }];
    let delete_headers = vec!["a".to_owned()];
    let expected = Order {
        instance: id(),
        app: Some("b".to_owned()),
        regions: regions(&["ams", "fra"]),
        is_elsewhere: true,
        state: Some("s".to_owned()),
        timeout: Some(Duration::from_secs(2)),
        fallback: Some(Fallback::ForceSelf),
        transform: Transform { path: Some("/x?y".to_owned()), delete_headers, set_headers },
        ..Order::default()
    };
    assert_eq!(Order::from_json(text.as_bytes()), Ok(expected));
    assert_eq!(Order::from_json(b"{}"), Ok(Order::default()));
}

#[test]
fn durations_have_a_unit() {
    assert_eq!(parse_duration("10s"), Some(Duration::from_secs(10)));
    assert_eq!(parse_duration("1m"), Some(Duration::from_secs(60)));
    for bad in ["", "s", "10", "-1s", "1h", "99999999999999999999s"] {
        assert_eq!(parse_duration(bad), None, "{bad:?}");
    }
}
