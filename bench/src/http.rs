//! A blocking HTTP/1.1 client with one connection that is kept: it adds least to what it measures.

use crate::clock::{ms_between, now_ns};
use anyhow::{Context as _, bail, ensure};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest silence of a server: above the 60 s that a wait may take.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// Largest answer that is read: a list of thousands of machines is a few MiB.
const ANSWER_MAX_BYTES: usize = 256 * 1024 * 1024;

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

/// A connection to a server.
pub(crate) struct Http {
    stream: Box<dyn Duplex>,
    /// Headers that every request carries.
    headers: String,
    pending: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Http {
    /// Connects to a unix socket.
    pub(crate) fn unix(path: &Path) -> anyhow::Result<Self> {
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            std::io::Result::Ok(stream)
        };
        let stream = connect().with_context(|| format!("cannot reach {}", path.display()))?;
        Ok(Self::over(stream, "Host: localhost\r\n".to_owned()))
    }

    /// Connects to `address`; every request carries the bearer token `token`.
    pub(crate) fn tcp(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        Self::to(address, format!("Host: {address}\r\nAuthorization: Bearer {token}\r\n"))
    }

    /// Connects to `address` as a visitor of `host`.
    pub(crate) fn visitor(address: SocketAddr, host: &str) -> anyhow::Result<Self> {
        Self::to(address, format!("Host: {host}\r\n"))
    }

    fn to(address: SocketAddr, headers: String) -> anyhow::Result<Self> {
        let connect = || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            std::io::Result::Ok(stream)
        };
        let stream = connect().with_context(|| format!("cannot reach {address}"))?;
        Ok(Self::over(stream, headers))
    }

    fn over(stream: impl Duplex + 'static, headers: String) -> Self {
        Self { stream: Box::new(stream), headers, pending: Vec::new() }
    }

    /// Sends a request with a JSON body (or none) and reads the answer.
    pub(crate) fn json(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<Reply> {
        self.request(method, path, "application/json", body.as_bytes())
    }

    /// Sends a request and reads the answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> anyhow::Result<Reply> {
        let mut message = format!("{method} {path} HTTP/1.1\r\n{}", self.headers);
        if !body.is_empty() {
            write!(message, "Content-Type: {kind}\r\n")?;
        }
        write!(message, "Content-Length: {}\r\n\r\n", body.len())?;
        let mut bytes = message.into_bytes();
        bytes.extend_from_slice(body);
        let exchange = |http: &mut Self| {
            http.stream.write_all(&bytes).context("cannot send")?;
            http.read_reply()
        };
        exchange(self).with_context(|| format!("{method} {path}"))
    }

    fn read_reply(&mut self) -> anyhow::Result<Reply> {
        let head = self.take_until(b"\r\n\r\n")?;
        let head = String::from_utf8(head).context("the answer's head is not text")?;
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.with_context(|| format!("`{head}` is no answer"))?;
        let reply = Reply { status, head, body: Vec::new() };
        let body = if reply.header("transfer-encoding").is_some_and(|way| way == "chunked") {
            self.take_chunks()?
        } else {
            let length = reply.header("content-length").map_or(Ok(0), str::parse);
            self.take(length.context("the answer's length is no number")?)?
        };
        Ok(Reply { body, ..reply })
    }

    fn take_chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.take_until(b"\r\n")?)?;
            let length = usize::from_str_radix(line.trim(), 16).context("a chunk has no length")?;
            let chunk = self.take(length)?;
            ensure!(self.take(2)? == b"\r\n", "a chunk does not end");
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
            ensure!(body.len() <= ANSWER_MAX_BYTES, "the answer is too large");
        }
    }

    /// Takes the bytes up to and with `mark`.
    fn take_until(&mut self, mark: &[u8]) -> anyhow::Result<Vec<u8>> {
        loop {
            let place = self.pending.windows(mark.len()).position(|window| window == mark);
            if let Some(place) = place {
                return Ok(self.pending.drain(..place + mark.len()).collect());
            }
            self.read_more()?;
        }
    }

    fn take(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        ensure!(length <= ANSWER_MAX_BYTES, "the answer is too large");
        while self.pending.len() < length {
            self.read_more()?;
        }
        Ok(self.pending.drain(..length).collect())
    }

    fn read_more(&mut self) -> anyhow::Result<()> {
        let mut bytes = [0; 64 * 1024];
        let n = self.stream.read(&mut bytes).context("cannot read the answer")?;
        if n == 0 {
            bail!("the server closed the connection");
        }
        self.pending.extend_from_slice(&bytes[..n]);
        Ok(())
    }
}

/// Visits a web server over a connection of its own; returns the answer and milliseconds from before
/// the connection until it has come. It is short, so that its first byte comes with its last.
pub(crate) fn visit(address: SocketAddr, host: &str) -> anyhow::Result<(f64, Reply)> {
    let asked_ns = now_ns();
    let reply = Http::visitor(address, host)?.request("GET", "/", "", b"")?;
    let ms = ms_between(asked_ns, now_ns());
    Ok((ms, reply.good()?))
}

impl Reply {
    /// The value of a header; `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Whether somebody else was faster.
    pub(crate) const fn is_conflict(&self) -> bool {
        self.status == 409
    }

    /// Whether it says that all was so already.
    pub(crate) const fn is_unchanged(&self) -> bool {
        self.status == 304
    }

    /// Whether it says that a wait ended without success.
    pub(crate) const fn is_timeout(&self) -> bool {
        self.status == 408
    }

    /// The answer, if it says that all went well.
    pub(crate) fn good(self) -> anyhow::Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        bail!("refused with {}: {}", self.status, String::from_utf8_lossy(&self.body))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> anyhow::Result<&str> {
        std::str::from_utf8(&self.body).context("the answer is no text")
    }

    /// The body as JSON.
    pub(crate) fn value(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body).context("the answer is not JSON")
    }

    /// The JSON values of a body that is a row of them.
    pub(crate) fn values(&self) -> impl Iterator<Item = anyhow::Result<serde_json::Value>> {
        let values = serde_json::Deserializer::from_slice(&self.body).into_iter();
        values.map(|value| value.context("the answer is not JSON"))
    }
}
