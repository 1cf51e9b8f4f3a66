//! A server that answers as a test says, byte by byte, and remembers what it was asked.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// First byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// First byte that is asked for.
    pub(crate) fn first_byte(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?;
        range.parse().ok()
    }
}

/// What is sent, and what happens then.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    head: String,
    body: Vec<u8>,
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Cut,
    Hang,
    /// The body again and again.
    Repeat,
}

impl Reply {
    /// A whole answer; `headers` are lines without their ends.
    pub(crate) fn new(status: u16, headers: &[&str], body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let length = format!("Content-Length: {}", body.len());
        Self::raw(status, &[headers, &[&length]].concat(), body)
    }

    /// An answer whose headers say of its body what the test wants.
    pub(crate) fn raw(status: u16, headers: &[&str], body: impl Into<Vec<u8>>) -> Self {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let head = format!("HTTP/1.1 {status} x\r\n{lines}\r\n");
        Self { head, body: body.into(), then: Then::GoOn }
    }

    pub(crate) fn ok(media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, &[&format!("Content-Type: {media_type}")], body)
    }

    /// The connection is closed after it.
    pub(crate) fn then_cut(mut self) -> Self {
        self.then = Then::Cut;
        self
    }

    /// Nothing comes after it, ever.
    pub(crate) fn then_hang(mut self) -> Self {
        self.then = Then::Hang;
        self
    }

    /// The body never ends.
    pub(crate) fn then_repeat(mut self) -> Self {
        self.then = Then::Repeat;
        self
    }
}

/// How a server answers.
pub(crate) type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A server on a loopback port; ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// A server without TLS.
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(None, Arc::new(handler)).await
    }

    /// A server with the certificate that `testkit` has made in `dir`.
    pub(crate) async fn start_tls(
        dir: &Path,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(acceptor(dir)), Arc::new(handler)).await
    }

    async fn serve(tls: Option<TlsAcceptor>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("connections");
                let (tls, seen) = (tls.clone(), Arc::clone(&remembered));
                // How a connection ends is the client's business.
                let talk = converse(stream, tls, Arc::clone(&handler), seen);
                connections.spawn(async move { drop(talk.await) });
            }
        });
        Self { port, seen, task }
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    /// What it was asked so far below a path.
    pub(crate) fn seen_at(&self, part: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.target.contains(part)).collect()
    }
}

/// Answers with one of `replies` after the other, and with the last one for ever.
pub(crate) fn in_turn(replies: Vec<Reply>) -> impl Fn() -> Reply + Send + Sync {
    let left = Mutex::new(VecDeque::from(replies));
    move || {
        let mut left = left.lock().expect("no panic");
        let next = if left.len() > 1 { left.pop_front() } else { left.front().cloned() };
        next.expect("there is a last one")
    }
}

fn acceptor(dir: &Path) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(dir.join("server.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(dir.join("server-key.pem")).expect("a key");
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

async fn converse(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    handler: Arc<Handler>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> io::Result<()> {
    if let Some(tls) = tls {
        return answer_all(tls.accept(stream).await?, handler, seen).await;
    }
    let mut first = [0];
    stream.peek(&mut first).await?;
    // A client that tries TLS first is hung up on, as other servers do.
    if first[0] == TLS_HANDSHAKE { Ok(()) } else { answer_all(stream, handler, seen).await }
}

async fn answer_all(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: Arc<Handler>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> io::Result<()> {
    while let Some(request) = read_request(&mut stream).await? {
        seen.lock().expect("no panic").push(request.clone());
        let reply = handler(&request);
        stream.write_all(reply.head.as_bytes()).await?;
        if request.method != "HEAD" {
            stream.write_all(&reply.body).await?;
        }
        stream.flush().await?;
        match reply.then {
            Then::GoOn => {}
            Then::Cut => return stream.shutdown().await,
            Then::Hang => std::future::pending().await,
            Then::Repeat => loop {
                stream.write_all(&reply.body).await?;
            },
        }
    }
    Ok(())
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Seen>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        head.extend(byte);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut seen = Seen { method, target, headers, body: String::new() };
    let length = seen.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    seen.body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok(Some(seen))
}
