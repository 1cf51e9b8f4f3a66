//! Where requests may go: lists, addresses, redirects.

use crate::layout::{Image, OCI_MANIFEST, noise};
use crate::server::{Reply, Server};
use crate::support::{anonymous, client, config, reference, resolve, trusting};
use registry::dial::{Boxed, Dialer, Resolve};
use registry::{AddressPolicy, Credentials, HostDialer, Registry, RegistryConfig, RegistryError};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;

fn manifest() -> Reply {
    Reply::ok(OCI_MANIFEST, Image::new(vec![noise(10, 1)]).manifest)
}

/// Settings for tenants: public addresses, and what `named` names.
fn for_tenants(named: &str) -> RegistryConfig {
    let except = named.parse().expect("a list");
    RegistryConfig { addresses: AddressPolicy::Public { except }, ..config() }
}

/// Gives each name another address each time somebody asks, the last first, and then none.
#[derive(Debug)]
struct Rebinding {
    answers: Mutex<Vec<&'static str>>,
}

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _: &'a str) -> Boxed<'a, io::Result<Vec<IpAddr>>> {
        let answer = self.answers.lock().expect("no panic").pop();
        Box::pin(async move {
            let address = answer.ok_or(io::ErrorKind::NotFound)?;
            Ok(vec![address.parse().expect("an address")])
        })
    }
}

/// Remembers what it was to dial, and dials nothing.
#[derive(Debug, Default)]
struct Remembering {
    dialled: Mutex<Vec<SocketAddr>>,
}

impl Dialer for Remembering {
    fn dial(&self, address: SocketAddr) -> Boxed<'_, io::Result<TcpStream>> {
        self.dialled.lock().expect("no panic").push(address);
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

#[tokio::test]
async fn a_registry_that_is_not_allowed_is_not_asked() {
    let server = Server::start(|_| manifest()).await;
    let allowed = "docker.io, r.example.com/team".parse().expect("a list");
    let client = client(RegistryConfig { allowed, ..config() });
    let name = reference(&format!("{}/a", server.address()));
    let error = client.repository(&name, Credentials::Anonymous).expect_err("refused");
    assert!(matches!(error, RegistryError::NotAllowed { .. }), "{error}");
    assert!(error.hint().is_some());
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn tenants_reach_no_private_address_by_any_name() {
    let server = Server::start(|_| manifest()).await;
    let port = server.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1.2.3"] {
        let repository = anonymous(for_tenants("*"), &format!("{host}:{port}/a"));
        let error = repository.head().await.expect_err("refused");
        assert!(matches!(error, RegistryError::AddressRefused { .. }), "{host}: {error}");
        assert!(!error.is_retryable());
    }
    assert!(server.seen().is_empty());
    let named = for_tenants(&format!("127.0.0.1:{port}"));
    resolve(&anonymous(named, &format!("127.0.0.1:{port}/a"))).await.expect("the operator's word");
}

#[tokio::test]
async fn an_address_is_asked_about_when_it_is_dialled() {
    let dialer = Arc::new(Remembering::default());
    let answers = Mutex::new(vec!["127.0.0.1", "169.254.169.254", "93.184.215.14"]);
    let resolver = Arc::new(Rebinding { answers });
    let config = RegistryConfig { resolver, ..for_tenants("*") };
    let client = Registry::new(config, Arc::clone(&dialer) as Arc<dyn Dialer>);
    let name = reference("rebinding.example.com/a");
    let head = || async {
        client.repository(&name, Credentials::Anonymous).expect("allowed").head().await
    };
    let error = head().await.expect_err("nobody is there");
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    for _ in 0..2 {
        let error = head().await.expect_err("refused");
        assert!(matches!(error, RegistryError::AddressRefused { .. }), "{error}");
    }
    let dialled = dialer.dialled.lock().expect("no panic").clone();
    assert_eq!(dialled, ["93.184.215.14:443".parse().expect("an address")]);
}

#[tokio::test]
async fn a_redirect_and_a_realm_lead_tenants_to_no_private_address() {
    let inside = Server::start(|_| manifest()).await;
    let target = inside.address();
    let location = format!("Location: http://{target}/secret");
    let realm = format!("WWW-Authenticate: Bearer realm=\"http://{target}/secret\"");
    for answer in [Reply::new(307, &[&location], ""), Reply::new(401, &[&realm], "")] {
        let registry = Server::start(move |_| answer.clone()).await;
        let named = for_tenants(&registry.address());
        let repository = anonymous(named, &format!("{}/a", registry.address()));
        let error = repository.head().await.expect_err("refused");
        assert!(matches!(error, RegistryError::AddressRefused { .. }), "{error}");
    }
    assert!(inside.seen().is_empty());
}

#[tokio::test]
async fn redirects_end() {
    let registry =
        Server::start(|seen| Reply::new(307, &[&format!("Location: {}?again", seen.target)], ""))
            .await;
    let repository = anonymous(config(), &format!("{}/a", registry.address()));
    let error = repository.head().await.expect_err("given up");
    assert!(matches!(error, RegistryError::Redirect { .. }), "{error}");
    assert_eq!(registry.seen_at("/manifests/").len(), 6);
}

#[tokio::test]
async fn a_redirect_never_drops_tls() {
    let dir = tempfile::tempdir().expect("a directory");
    testkit::registry::make_certificates(dir.path());
    let plain = Server::start(|_| manifest()).await;
    let location = format!("Location: http://{}/", plain.address());
    let registry = Server::start_tls(dir.path(), move |_| Reply::new(307, &[&location], "")).await;
    let config = trusting(&dir.path().join("ca.crt"));
    let repository = anonymous(config, &format!("{}/a", registry.address()));
    let error = repository.head().await.expect_err("refused");
    assert!(matches!(error, RegistryError::Redirect { .. }), "{error}");
    assert!(plain.seen().is_empty());
}

#[tokio::test]
async fn redirects_to_what_is_no_url_are_told() {
    for location in ["ftp://127.0.0.1/", "http://", "http://a@127.0.0.1/", "http://example.com/"] {
        let header = format!("Location: {location}");
        let registry = Server::start(move |_| Reply::new(307, &[&header], "")).await;
        let repository = anonymous(config(), &format!("{}/a", registry.address()));
        let error = repository.head().await.expect_err("refused");
        assert!(matches!(error, RegistryError::Redirect { .. }), "{location}: {error}");
    }
}

#[tokio::test]
async fn only_loopback_and_named_registries_may_do_without_tls() {
    let server = Server::start(|_| manifest()).await;
    let resolver = |answers| Arc::new(Rebinding { answers: Mutex::new(answers) });
    let name = format!("plain.example.com:{}/a", server.port());
    let strict = RegistryConfig { resolver: resolver(vec!["127.0.0.1"]), ..config() };
    let error = anonymous(strict, &name).head().await.expect_err("TLS is wanted");
    assert!(matches!(error, RegistryError::Tls { .. }), "{error}");
    assert!(error.is_retryable(), "whoever hangs up may be about to start");
    let lenient = RegistryConfig {
        insecure: format!("plain.example.com:{}", server.port()).parse().expect("a list"),
        resolver: resolver(vec!["127.0.0.1", "127.0.0.1"]),
        ..config()
    };
    let client = Registry::new(lenient, Arc::new(HostDialer));
    let repository = client.repository(&reference(&name), Credentials::Anonymous);
    resolve(&repository.expect("allowed")).await.expect("without TLS");
}

#[tokio::test]
async fn a_name_without_an_address_and_a_port_without_a_server_are_told_apart() {
    let port = Server::start(|_| manifest()).await.port();
    let error = anonymous(config(), &format!("127.0.0.1:{port}/a")).head().await.expect_err("gone");
    let is_told = matches!(error, RegistryError::Unreachable { .. } | RegistryError::Tls { .. });
    assert!(is_told, "{error}");
    let resolver = Arc::new(Rebinding { answers: Mutex::default() });
    let repository = anonymous(RegistryConfig { resolver, ..config() }, "nobody.example.com/a");
    let error = repository.head().await.expect_err("no address");
    assert!(matches!(error, RegistryError::Resolve { .. }), "{error}");
}
