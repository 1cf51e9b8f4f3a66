//! Doors with and without TLS, and which HTTP is spoken behind them.

use crate::harness::{PORT, World, machine, own_ip, port, service, soon, up};
use crate::server::Server;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::spec::service::{Handler, Port};
use testkit::tls::trusting_anybody;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

async fn world(port: Port) -> (World, Server) {
    let inside = own_ip();
    let server = Server::at(inside).await;
    (World::new(vec![machine(1, inside, up("r1"), service(vec![port]))]).await, server)
}

async fn by_tls(world: &World, alpn: &[&str]) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("web.localhost").expect("a name");
    let connecting = trusting_anybody(alpn).connect(name, world.visit().await);
    soon(connecting).await.expect("TLS")
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    let body = soon(response.into_body().collect()).await.expect("a body").to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

fn get(uri: &str) -> Request<Empty<Bytes>> {
    let host = "web.localhost";
    Request::get(uri).header("host", host).body(Empty::new()).expect("a request")
}

#[tokio::test]
async fn alpn_chooses_between_h2_and_http_1() {
    let (world, _server) = world(port(PORT, &[Handler::Tls, Handler::Http])).await;
    let stream = by_tls(&world, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = soon(builder.handshake(TokioIo::new(stream))).await.expect("h2");
    tokio::spawn(connection);
    let request = Request::get("https://web.localhost/two").body(Empty::<Bytes>::new());
    let response = soon(sender.send_request(request.expect("a request"))).await.expect("an answer");
    assert_eq!(response.version(), Version::HTTP_2);
    assert_eq!(text(response).await, "/two https 0");

    let stream = by_tls(&world, &["http/1.1"]).await;
    let (mut sender, connection) = soon(http1::handshake(TokioIo::new(stream))).await.expect("h1");
    tokio::spawn(connection);
    let response = soon(sender.send_request(get("/one"))).await.expect("an answer");
    assert_eq!(text(response).await, "/one https 0");
}

#[tokio::test]
async fn one_door_speaks_http_1_and_h2_with_prior_knowledge() {
    let (world, _server) = world(port(PORT, &[Handler::Http])).await;
    let stream = TokioIo::new(world.visit().await);
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = soon(builder.handshake(stream)).await.expect("h2");
    tokio::spawn(connection);
    let request = Request::get("http://web.localhost/two").body(Empty::<Bytes>::new());
    let response = soon(sender.send_request(request.expect("a request"))).await.expect("an answer");
    assert_eq!(text(response).await, "/two http 0");

    let stream = TokioIo::new(world.visit().await);
    let (mut sender, connection) = soon(http1::handshake(stream)).await.expect("h1");
    tokio::spawn(connection);
    for n in 0..3 {
        let response = soon(sender.send_request(get(&format!("/{n}")))).await.expect("an answer");
        assert_eq!(text(response).await, format!("/{n} http 0"));
    }
}

#[tokio::test]
async fn connections_that_are_kept_end_with_their_next_answer_when_the_process_ends() {
    let (mut world, _server) = world(port(PORT, &[Handler::Http])).await;
    let stream = TokioIo::new(world.visit().await);
    let (mut sender, connection) = soon(http1::handshake(stream)).await.expect("h1");
    let connection = tokio::spawn(connection);
    let response = soon(sender.send_request(get("/"))).await.expect("an answer");
    assert_eq!(text(response).await, "/ http 0");
    world.proxy.tell();
    soon(connection).await.expect("it ends").expect("in order");
    world.proxy.ended().await;
}
