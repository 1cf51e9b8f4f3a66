//! Visitors who ask and do not read.

use crate::client::{soon, tls_of_app};
use crate::house::{HOST, TLS, house, service, sleeper, starts};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use testkit::Instance;

/// More than the windows of a client and all buffers on the way hold.
const LARGE_BYTES: usize = 50_000_000;

type Sender = http2::SendRequest<Empty<Bytes>>;

async fn ask(sender: &mut Sender, path: &str) -> Response<Incoming> {
    let request = Request::get(format!("https://{HOST}{path}")).body(Empty::new());
    soon(sender.send_request(request.expect("a request"))).await.expect("an answer")
}

/// The stream breaks off, and the connection it came by is as good as before.
#[tokio::test(flavor = "multi_thread")]
async fn an_h2_visitor_who_does_not_read_does_not_keep_a_machine_from_its_end() {
    let instance = house();
    let id = sleeper(&instance, "http 80", &[service(TLS, &["tls", "http"])]);
    let stream = TokioIo::new(tls_of_app(&instance, TLS, &["h2"]).await);
    let handshake = http2::Builder::new(TokioExecutor::new()).handshake(stream);
    let (mut sender, connection) = soon(handshake).await.expect("h2");
    let connection = tokio::spawn(connection);
    let stalled = ask(&mut sender, &format!("/large?{LARGE_BYTES}")).await;
    assert_eq!(stalled.headers()["x-machine"], id.as_str());
    instance.wait_for_route(&id, |route| route["load"]["n_requests"] == 1);

    drop(instance.post(&format!("{}/stop", Instance::path(&id)), &Value::Null).expect(200));
    instance.wait_for(&id, "stopped");
    instance.wait_for_route(&id, |route| route["load"]["n_requests"] == 0);

    let woken = ask(&mut sender, "/").await;
    assert_eq!(woken.headers()["x-machine"], id.as_str());
    assert_eq!(starts(&instance, &id).len(), 2);
    let cut = soon(stalled.into_body().collect()).await;
    assert!(cut.is_err(), "an answer that was cut looks whole");
    connection.abort();
}
