//! Headers before and after.

use super::{
    HeaderMap, HeaderName, HeaderValue, HttpOptions, RequestId, ToApp, Visitor, has_token,
    strip_hops, to_visitor,
};
use std::collections::BTreeMap;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, value.parse().expect("a value"));
    }
    headers
}

fn id() -> RequestId {
    RequestId::draw("local")
}

fn applied(lines: &[(&str, &str)], is_tls: bool) -> HeaderMap {
    let visitor = Visitor {
        peer: "[::ffff:192.0.2.7]:5000".parse().expect("an address"),
        local: "127.0.0.1:8080".parse().expect("an address"),
        port: 8080,
        is_tls,
        sni: None,
        alpn: None,
    };
    let host = HeaderValue::from_static("web.localhost:8080");
    let to_app = ToApp {
        visitor: &visitor,
        host: Some(&host),
        is_h2: false,
        region: "local",
        id: &id(),
        at_us: 5,
    };
    let mut headers = headers(lines);
    to_app.apply(&mut headers).expect("values");
    headers
}

#[test]
fn programs_learn_who_asks() {
    let seen = applied(&[("host", "web")], false);
    assert_eq!(seen["host"], "web.localhost:8080");
    assert_eq!(seen["fly-client-ip"], "192.0.2.7");
    assert_eq!(seen["x-forwarded-for"], "192.0.2.7, 127.0.0.1");
    assert_eq!(seen["fly-forwarded-port"], "8080");
    assert_eq!(seen["x-forwarded-port"], "8080");
    assert_eq!(seen["x-forwarded-proto"], "http");
    assert_eq!(seen["x-forwarded-ssl"], "off");
    assert_eq!(seen["via"], "1.1 fly.io");
    assert_eq!(seen["x-request-start"], "t=5");
    assert!(seen["fly-request-id"].to_str().expect("text").ends_with("-local"));
    assert_eq!(applied(&[], true)["x-forwarded-proto"], "https");
}

#[test]
fn what_a_visitor_says_in_our_name_is_not_believed() {
    let seen = applied(
        &[
            ("fly-client-ip", "1.1.1.1"),
            ("fly-region", "ams"),
            ("fly-replay-src", "instance=x"),
            ("fly-replay-failed", "x"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "444"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("connection", "x-forwarded-for, fly-client-ip, host"),
            ("via", "1.0 a"),
        ],
        false,
    );
    assert_eq!(seen["fly-client-ip"], "192.0.2.7");
    assert_eq!(seen["fly-region"], "local");
    assert!(!seen.contains_key("fly-replay-src") && !seen.contains_key("fly-replay-failed"));
    assert_eq!(seen["x-forwarded-proto"], "http");
    assert_eq!(seen["x-forwarded-port"], "444");
    assert_eq!(seen["x-forwarded-for"], "192.0.2.7, 127.0.0.1", "the list was named a hop");
    assert_eq!(seen["via"], "1.0 a, 1.1 fly.io");
    let seen = applied(&[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2")], false);
    assert_eq!(seen["x-forwarded-for"], "10.0.0.1, 10.0.0.2, 192.0.2.7, 127.0.0.1");
}

#[test]
fn what_belongs_to_one_connection_stays_there() {
    let mut seen = headers(&[
        ("connection", "close, X-Secret"),
        ("x-secret", "1"),
        ("keep-alive", "5"),
        ("proxy-connection", "x"),
        ("proxy-authorization", "x"),
        ("te", "gzip, trailers;q=0.5"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "x"),
        ("x-kept", "1"),
    ]);
    strip_hops(&mut seen);
    assert_eq!(seen, headers(&[("x-kept", "1"), ("te", "trailers")]));
}

#[test]
fn cookies_of_h2_are_one_line_again() {
    let seen = applied(&[("cookie", "a=1"), ("cookie", "b=2"), ("expect", "100-continue")], false);
    assert_eq!(seen.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    assert!(!seen.contains_key("expect"));
}

#[test]
fn rules_of_the_port_remove_and_replace() {
    let rules = [
        ("X-Gone", vec![]),
        ("x-set", vec!["1", "2"]),
        ("content-length", vec!["9"]),
        ("bad name", vec!["1"]),
        ("server", vec!["mine"]),
    ];
    let response_headers: BTreeMap<String, Vec<String>> = rules
        .into_iter()
        .map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()))
        .collect();
    let options = HttpOptions { response_headers, ..HttpOptions::default() };
    let mut seen = headers(&[("x-gone", "1"), ("x-set", "0"), ("content-length", "5")]);
    to_visitor(&mut seen, &options, true, &id()).expect("values");
    assert!(!seen.contains_key("x-gone"));
    assert_eq!(seen.get_all("x-set").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(seen["content-length"], "5");
    assert_eq!(seen["server"], "mine");
    assert_eq!(seen["via"], "2 fly.io");
}

#[test]
fn pristine_answers_carry_nothing_of_ours() {
    let options = HttpOptions { is_pristine: true, ..HttpOptions::default() };
    let mut seen = headers(&[("server", "app"), ("x", "y"), ("connection", "close")]);
    to_visitor(&mut seen, &options, false, &id()).expect("values");
    assert_eq!(seen, headers(&[("server", "app"), ("x", "y")]));
}

#[test]
fn tokens_are_whole_words() {
    let seen = headers(&[("connection", "keep-alive"), ("connection", "Upgrade ,x")]);
    assert!(has_token(&seen, &hyper::header::CONNECTION, "upgrade"));
    assert!(!has_token(&seen, &hyper::header::CONNECTION, "keep"));
}
