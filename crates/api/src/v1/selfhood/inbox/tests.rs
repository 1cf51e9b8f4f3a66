//! What a post may look like.

use super::{HeaderMap, Message, Params, RawBody, message};
use axum::extract::{FromRequest as _, FromRequestParts as _};

async fn read(kind: &str, key: &str, query: &str, body: &[u8]) -> Result<Message, (u16, String)> {
    let mut request = axum::http::Request::post(format!("/x?{query}"));
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    if !key.is_empty() {
        request = request.header("idempotency-key", key);
    }
    let request = request.body(axum::body::Body::from(body.to_vec())).expect("a request");
    let (mut parts, body) = request.into_parts();
    let params = Params::from_request_parts(&mut parts, &()).await.expect("valid");
    let headers: HeaderMap = parts.headers.clone();
    let request = axum::http::Request::from_parts(parts, body);
    let body = RawBody::from_request(request, &()).await.expect("small");
    message(&headers, &params, body).map_err(|p| (p.status.as_u16(), p.body.code))
}

fn text(body: &str) -> Message {
    Message { body: body.to_owned(), ..Message::default() }
}

const JSON: &str = "application/json; charset=utf-8";

#[tokio::test]
async fn json_is_an_envelope_and_everything_else_is_the_text() {
    let full = br#"{"body": "x", "id": "a", "wake": true, "hops": 2}"#;
    let expected = Message { id: Some("a".to_owned()), wake: true, hops: 2, ..text("x") };
    assert_eq!(read(JSON, "", "", full).await, Ok(expected));
    let object = br#"{"body": {"b": 1, "a": [2]}, "wake": null}"#;
    assert_eq!(read(JSON, "", "", object).await, Ok(text(r#"{"a":[2],"b":1}"#)));
    assert_eq!(read("", "", "", br#"{"body": "x"}"#).await, Ok(text("x")));
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/xml"] {
        assert_eq!(read(kind, "", "", full).await.map(|m| m.body.len()), Ok(full.len()), "{kind}");
    }
    let expected = Message { id: Some("k".to_owned()), wake: true, hops: 1, ..text("hej") };
    assert_eq!(read("text/plain", "", "id=k&wake&hops=1", b"hej").await, Ok(expected));
}

#[tokio::test]
async fn the_key_in_the_header_is_the_id() {
    let named = |body: &str| Message { id: Some("k".to_owned()), ..text(body) };
    assert_eq!(read("text/plain", "k", "", b"x").await, Ok(named("x")));
    assert_eq!(read(JSON, "k", "", br#"{"body":"x","id":"k"}"#).await, Ok(named("x")));
    let two = read(JSON, "k", "", br#"{"body":"x","id":"other"}"#).await;
    assert_eq!(two, Err((400, "two_ids".to_owned())));
}

#[tokio::test]
async fn wrong_posts_are_refused() {
    let not_text = read("application/octet-stream", "", "", b"\xff\xfe\0").await;
    assert_eq!(not_text, Err((415, "not_text".to_owned())));
    for body in [&b"{}"[..], br#"{"body":"x","weak":true}"#, br#"{"body":"x","hops":-1}"#, b"[]"] {
        assert_eq!(read(JSON, "", "", body).await, Err((400, "wrong_type".to_owned())));
    }
    assert_eq!(read(JSON, "", "", b"hej").await, Err((400, "bad_json".to_owned())));
    let hops = read("text/plain", "", "hops=many", b"x").await;
    assert_eq!(hops, Err((400, "invalid_parameter".to_owned())));
}
