//! Letters: where they go, where they do not, and how little of the answer counts.

use crate::server::{Reply, Server};
use registry::{AllowList, Courier, Destination, HostDialer, RegistryError, Trust, Undelivered};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(5);

/// A courier whose operator has named these servers; its "inside" is this host.
fn courier(named: &str) -> Courier {
    let trust = Trust::of_host(&[], None).expect("the host's store");
    let named: AllowList = named.parse().expect("a list");
    Courier::new(named, &trust, Some(Arc::new(HostDialer)))
}

async fn post(courier: &Courier, url: &str) -> Result<u16, Undelivered> {
    let to: Destination = url.parse().expect("a destination");
    courier.post(&to, &[("webhook-id", "m1")], "{\"a\":1}".to_owned(), LIMIT, None).await
}

#[tokio::test]
async fn a_letter_is_one_post_with_its_headers() {
    let server = Server::start(|_| Reply::new(202, &[], "fine")).await;
    let courier = courier(&server.address());
    let status = post(&courier, &format!("http://{}/in?x=y", server.address())).await;
    assert_eq!(status.expect("delivered"), 202);
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/in?x=y"));
    assert_eq!(seen.header("webhook-id"), Some("m1"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.body, "{\"a\":1}");
}

#[tokio::test]
async fn nobody_is_sent_to_this_host_but_by_the_operators_word() {
    let server = Server::start(|_| Reply::new(200, &[], "")).await;
    let port = server.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"] {
        for named in ["", "*", "other.example.com", "127.0.0.1:1"] {
            let refused = post(&courier(named), &format!("http://{host}:{port}/")).await;
            let is_refused =
                matches!(refused, Err(Undelivered::OnTheWay(RegistryError::AddressRefused { .. })));
            assert!(is_refused, "{host} {named}: {refused:?}");
        }
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_letter_goes_only_where_its_sender_may_speak_to() {
    let server = Server::start(|_| Reply::new(200, &[], "")).await;
    let (address, port) = (server.address(), server.port());
    // The operator's word opens a way that the sender's own policy still closes.
    let courier = courier(&format!("{address},localhost:*,receiver.test:*"));
    let send = async |host: &str, default: &str, rules: &str| {
        let to: Destination = format!("http://{host}:{port}/").parse().expect("a destination");
        let text = format!(r#"{{"default": "{default}", "rules": [{rules}]}}"#);
        let policy = serde_json::from_str(&text).expect("a policy");
        courier.post(&to, &[], String::new(), LIMIT, Some(policy)).await
    };
    let allow = |to: &str| format!(r#"{{"action": "allow", "to": "{to}"}}"#);
    let deny = |to: &str| format!(r#"{{"action": "deny", "to": "{to}"}}"#);
    let by_port = |ports: u16| {
        format!(r#"{{"action": "deny", "to": "*", "protocol": "tcp", "ports": ["{ports}"]}}"#)
    };
    for (host, default, rules) in [
        ("127.0.0.1", "deny", String::new()),
        ("127.0.0.1", "allow", deny("127.0.0.0/8")),
        ("127.0.0.1", "allow", by_port(port)),
        ("localhost", "allow", deny("localhost")),
        ("localhost", "allow", format!("{},{}", deny("127.0.0.0/8"), deny("::1"))),
        // Its address is not even asked for.
        ("receiver.test", "deny", allow("other.test")),
    ] {
        let refused = send(host, default, &rules).await.expect_err("refused");
        assert_eq!(refused.code(), "egress_denied", "{host} {default} {rules}: {refused}");
    }
    assert!(server.seen().is_empty());
    for (host, default, rules) in [
        ("127.0.0.1", "allow", String::new()),
        ("127.0.0.1", "deny", allow("127.0.0.1")),
        ("localhost", "deny", allow("localhost")),
        ("127.0.0.1", "allow", by_port(port.wrapping_add(1).max(1))),
    ] {
        assert_eq!(send(host, default, &rules).await.expect("sent"), 200, "{host} {rules}");
    }
}

#[tokio::test]
async fn without_a_way_out_only_named_servers_are_reached() {
    let server = Server::start(|_| Reply::new(200, &[], "")).await;
    let trust = Trust::of_host(&[], None).expect("the host's store");
    let courier = Courier::new(server.address().parse().expect("a list"), &trust, None);
    assert_eq!(post(&courier, &format!("http://{}/", server.address())).await.expect("sent"), 200);
    let refused = post(&courier, "https://example.com/").await;
    assert!(matches!(refused, Err(Undelivered::NoWayOut { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let elsewhere = Server::start(|_| Reply::new(200, &[], "")).await;
    let location = format!("Location: http://{}/", elsewhere.address());
    let server = Server::start(move |_| Reply::new(307, &[&location], "")).await;
    let courier = courier(&format!("{},{}", server.address(), elsewhere.address()));
    assert_eq!(post(&courier, &format!("http://{}/", server.address())).await.expect("sent"), 307);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn an_answer_without_end_counts_by_its_status() {
    let endless = Reply::raw(200, &["Content-Length: 1000000000000"], vec![b'x'; 4096]);
    let stuck = Reply::raw(200, &["Content-Length: 10"], "x").then_hang();
    for reply in [endless.then_repeat(), stuck] {
        let server = Server::start(move |_| reply.clone()).await;
        let began = Instant::now();
        let url = format!("http://{}/", server.address());
        assert_eq!(post(&courier(&server.address()), &url).await.expect("sent"), 200);
        assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn who_does_not_answer_is_not_waited_for() {
    let server = Server::start(|_| Reply::raw(100, &[], "").then_hang()).await;
    let to: Destination = format!("http://{}/", server.address()).parse().expect("a destination");
    let limit = Duration::from_millis(300);
    let late = courier(&server.address()).post(&to, &[], String::new(), limit, None).await;
    let is_late = matches!(late, Err(Undelivered::OnTheWay(RegistryError::Timeout { .. })));
    assert!(is_late, "{late:?}");
}
