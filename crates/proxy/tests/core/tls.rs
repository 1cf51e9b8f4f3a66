//! TLS ends at the proxy: names, certificates, versions, protocols.

use crate::harness::{PORT, World, echo, exchange, machine, own_ip, port, service, soon, up};
use model::spec::service::{Handler, Port};
use proxy_proto::AppRoute;
use proxy_proto::route::{Certificate, Hostname};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::ring};

const NAME: &str = "www.example.com";

/// A certificate for [`NAME`], and its record.
fn certificate() -> (CertificateDer<'static>, Certificate) {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).expect("made");
    let record =
        Certificate { chain_pem: made.cert.pem(), key_pem: made.signing_key.serialize_pem() };
    (made.cert.der().clone(), record)
}

fn app(certificate: Option<Certificate>) -> AppRoute {
    let hostnames = vec![Hostname { name: NAME.to_owned(), certificate }];
    AppRoute { app: "web".to_owned(), generation: 1, network: 1, hostnames }
}

async fn world(port: Port, app: AppRoute) -> World {
    let inside = own_ip();
    echo(inside, "hi ").await;
    World::with_apps(vec![machine(1, inside, up("r1"), service(vec![port]))], vec![app]).await
}

/// A visitor that trusts one certificate.
async fn visit(
    world: &World,
    name: &str,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[version]).expect("a version");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    soon(TlsConnector::from(Arc::new(config)).connect(name, world.visit().await)).await
}

#[tokio::test]
async fn a_name_gets_its_own_certificate_and_bytes_go_both_ways() {
    let (root, record) = certificate();
    let world = world(port(PORT, &[Handler::Tls]), app(Some(record))).await;
    for version in [&TLS12, &TLS13] {
        let mut visitor = visit(&world, NAME, &root, version, &[]).await.expect("trusted");
        assert_eq!(exchange(&mut visitor, "x").await, "hi x");
    }
}

#[tokio::test]
async fn nobody_answers_to_a_name_that_nobody_has() {
    let (root, record) = certificate();
    let world = world(port(PORT, &[Handler::Tls]), app(Some(record))).await;
    let error = visit(&world, "other.example.com", &root, &TLS13, &[]).await.expect_err("no such");
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

#[tokio::test]
async fn a_name_without_a_certificate_gets_one_made_here() {
    let (root, _) = certificate();
    let world = world(port(PORT, &[Handler::Tls]), app(None)).await;
    let error = visit(&world, NAME, &root, &TLS13, &[]).await.expect_err("not the trusted one");
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn versions_and_protocols_are_as_the_port_says() {
    let (root, record) = certificate();
    let mut strict = port(PORT, &[Handler::Tls]);
    strict.tls.versions = vec!["TLSv1.3".to_owned()];
    strict.tls.alpn = vec!["postgresql".to_owned()];
    let world = world(strict, app(Some(record))).await;
    visit(&world, NAME, &root, &TLS12, &[]).await.expect_err("too old");
    let visitor = visit(&world, NAME, &root, &TLS13, &["postgresql"]).await.expect("agreed");
    assert_eq!(visitor.get_ref().1.alpn_protocol(), Some(&b"postgresql"[..]));
}

#[tokio::test]
async fn a_visitor_without_tls_is_closed() {
    let (_, record) = certificate();
    let world = world(port(PORT, &[Handler::Tls]), app(Some(record))).await;
    let mut visitor = world.visit().await;
    let answer = exchange(&mut visitor, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(!answer.contains("hi"), "{answer}");
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_ended() {
    let (_, record) = certificate();
    let world = world(port(PORT, &[Handler::Tls]), app(Some(record))).await;
    let mut visitor = world.visit().await;
    // The head of a record, of which the rest never comes.
    visitor.write_all(&[22, 3, 1, 2, 0]).await.expect("said");
    let since = std::time::Instant::now();
    let n_read = soon(visitor.read(&mut [0; 16])).await.unwrap_or(0);
    assert_eq!(n_read, 0);
    assert!(since.elapsed() < std::time::Duration::from_secs(15));
}
