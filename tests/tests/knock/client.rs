//! Real clients: curl, TLS, WebSockets.

use crate::house::HOST;
use std::process::{Command, Output};
use std::time::Duration;
use testkit::Instance;
use testkit::tls::trusting_anybody;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

/// Longest wait for anything that is awaited here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// `work`, which must end in time.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it ends in time")
}

/// Runs curl on `https://test.localhost:PORT…` or the like, where that name is the instance's.
#[track_caller]
pub(crate) fn curl(instance: &Instance, url: &str, args: &[&str]) -> Output {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (name, path) = rest.split_once('/').expect("a path");
    let (host, port) = name.split_once(':').expect("a port");
    let resolve = format!("{host}:{port}:{}", instance.door_address());
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--resolve", &resolve])
        .args(args)
        .arg(format!("{scheme}://{host}:{port}/{path}"))
        .output()
        .expect("curl can be run");
    assert!(output.status.success(), "curl {url}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// What curl printed.
#[track_caller]
pub(crate) fn curl_text(instance: &Instance, url: &str, args: &[&str]) -> String {
    String::from_utf8(curl(instance, url, args).stdout).expect("text")
}

/// A connection to a door, for async clients.
pub(crate) async fn connect(instance: &Instance, port: u16) -> TcpStream {
    soon(TcpStream::connect(instance.door(port))).await.expect("the door is open")
}

/// A TLS connection that takes any certificate.
///
/// # Errors
/// The handshake fails.
pub(crate) async fn tls(
    instance: &Instance,
    port: u16,
    name: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = connect(instance, port).await;
    soon(trusting_anybody(alpn).connect(name, stream)).await
}

/// The same with the name of the app of most tests.
pub(crate) async fn tls_of_app(
    instance: &Instance,
    port: u16,
    alpn: &[&str],
) -> TlsStream<TcpStream> {
    tls(instance, port, HOST, alpn).await.expect("TLS")
}
