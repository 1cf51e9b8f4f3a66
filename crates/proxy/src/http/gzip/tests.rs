//! When answers are compressed.

use super::{HeaderMap, Method, Response, is_welcome, is_worth_it, mark};

#[track_caller]
fn welcome(value: &'static str, expected: bool) {
    let mut asked = HeaderMap::new();
    asked.insert("accept-encoding", value.parse().expect("a value"));
    assert_eq!(is_welcome(&asked), expected, "{value:?}");
}

#[test]
fn gzip_is_welcome_when_asked_for() {
    welcome("gzip", true);
    welcome("br, GZIP;q=0.5", true);
    welcome("gzip;q=0", false);
    welcome("gzip; q=0.0", false);
    welcome("br", false);
    welcome("xgzip", false);
    assert!(!is_welcome(&HeaderMap::new()));
}

fn answer(status: u16, headers: &[(&str, &str)]) -> Response<()> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).expect("an answer")
}

#[track_caller]
fn worth(headers: &[(&str, &str)], length: Option<u64>, expected: bool) {
    let is_worth = is_worth_it(&Method::GET, &answer(200, headers), length);
    assert_eq!(is_worth, expected, "{headers:?} {length:?}");
}

#[test]
fn texts_of_some_length_are_worth_it() {
    let html = ("content-type", "text/html; charset=utf-8");
    worth(&[html], None, true);
    worth(&[html], Some(511), false);
    worth(&[html], Some(512), true);
    worth(&[("content-type", "application/problem+json")], None, true);
    worth(&[("content-type", "text/event-stream")], None, false);
    worth(&[("content-type", "image/png")], None, false);
    worth(&[], None, false);
    worth(&[html, ("content-encoding", "br")], None, false);
    worth(&[html, ("cache-control", "no-transform")], None, false);
    let partial = answer(206, &[html]);
    assert!(!is_worth_it(&Method::GET, &partial, None));
    assert!(!is_worth_it(&Method::HEAD, &answer(200, &[html]), None));
}

#[test]
fn headers_say_that_it_is_compressed() {
    let mut headers = answer(200, &[("content-length", "9"), ("etag", "\"x\"")]).headers().clone();
    mark(&mut headers);
    assert!(!headers.contains_key("content-length"));
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["etag"], "W/\"x\"");
    assert_eq!(headers["vary"], "accept-encoding");
}
