//! The smallest HTTP client that a test needs. It shares no code with the project's own client, so a
//! mistake there cannot hide one in the server.

use serde_json::Value;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Longest wait for an answer: the longest wait of the API and some.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(90);

/// Most of a body that goes with its head.
const IN_ONE_PIECE_MAX_BYTES: usize = 16 * 1024;

/// Host of requests to the daemon, which has no name of its own.
const DAEMON: &str = "dormouse";

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body as it came; what is no text is replaced.
    pub text: String,
    /// Length of the body.
    pub n_body_bytes: usize,
    /// Body as JSON; null when it is none.
    pub body: Value,
}

impl Reply {
    /// This answer's body, if its status is as expected.
    ///
    /// # Panics
    /// It is not.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// The `error`, `code` and `hint` of a refusal with the expected status.
    ///
    /// # Panics
    /// The status is another, or one of the four fields of an error is missing.
    #[must_use]
    #[track_caller]
    pub fn refusal(self, status: u16) -> Refusal {
        assert_eq!(self.status, status, "{}", self.text);
        let word = |key: &str| {
            self.body[key]
                .as_str()
                .unwrap_or_else(|| panic!("no `{key}` in {}", self.text))
                .to_owned()
        };
        assert!(self.body["retryable"].is_boolean(), "no `retryable` in {}", self.text);
        Refusal { error: word("error"), code: word("code"), hint: word("hint") }
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What a refusal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The sentence.
    pub error: String,
    /// The stable word.
    pub code: String,
    /// The next step.
    pub hint: String,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Method.
    pub method: &'a str,
    /// Host, with its port if it has one.
    pub host: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// Body.
    pub body: &'a [u8],
}

impl<'a> Asked<'a> {
    /// A GET without further headers.
    #[must_use]
    pub const fn get(host: &'a str, target: &'a str) -> Self {
        Self { method: "GET", host, target, headers: &[], body: b"" }
    }

    /// Sends it over a connection, which is of no use afterwards, and reads the answer to its end.
    ///
    /// # Errors
    /// The connection breaks, nothing comes in time, or what comes is no whole answer.
    pub fn over(&self, mut stream: impl Read + Write) -> io::Result<Reply> {
        self.say(&mut stream)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let reply = parse(&bytes).ok_or_else(|| {
            let said = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            io::Error::other(format!("the answer is no HTTP: {said:?}"))
        })?;
        let length = reply.header("content-length").and_then(|length| length.parse().ok());
        let n_missing = length.unwrap_or(0_usize).saturating_sub(reply.n_body_bytes);
        if self.method != "HEAD" && n_missing > 0 {
            return Err(io::Error::other(format!("{n_missing} bytes of the answer are missing")));
        }
        Ok(reply)
    }

    fn say(&self, stream: &mut impl Write) -> io::Result<()> {
        let Self { method, host, target, headers, body } = self;
        let mut head =
            format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for (name, value) in *headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || *method != "GET" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        // In one piece, as far as that goes: a server that answers before it has read a body, and
        // closes, would reset the connection when the rest comes.
        let (with_head, rest) = body.split_at(body.len().min(IN_ONE_PIECE_MAX_BYTES));
        stream.write_all(&[head.as_bytes(), with_head].concat())?;
        // A server that refuses a large body may answer before it has read all of it.
        match stream.write_all(rest) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

/// Sends one request over a unix socket and reads its answer to the end.
///
/// # Errors
/// The socket breaks, or nothing comes in time.
pub fn request(
    socket: &Path,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Reply> {
    Asked { method, host: DAEMON, target, headers, body }.over(connect(socket)?)
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// GETs an answer that comes bit by bit; its lines, each as soon as it is there.
///
/// # Errors
/// The socket breaks, or the answer is none of that kind.
pub fn lines(socket: &Path, target: &str) -> io::Result<impl Iterator<Item = String> + use<>> {
    lines_with(socket, target, &[])
}

/// As [`lines`], with further headers.
///
/// # Errors
/// As [`lines`].
pub fn lines_with(
    socket: &Path,
    target: &str,
    headers: &[(&str, &str)],
) -> io::Result<impl Iterator<Item = String> + use<>> {
    let mut stream = connect(socket)?;
    Asked { headers, ..Asked::get(DAEMON, target) }.say(&mut stream)?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if !head.starts_with("HTTP/1.1 200 ") || !head.contains("transfer-encoding: chunked") {
        return Err(io::Error::other(head));
    }
    Ok(BufReader::new(Chunks { reader, left: 0 }).lines().map_while(Result::ok))
}

/// The body inside a chunked answer.
#[derive(Debug)]
struct Chunks {
    reader: BufReader<UnixStream>,
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let mut size = String::new();
            while size.trim().is_empty() {
                size.clear();
                if self.reader.read_line(&mut size)? == 0 {
                    return Ok(0);
                }
            }
            self.left = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        }
        let room = into.len().min(self.left);
        let n = self.reader.read(&mut into[..room])?;
        self.left -= n;
        Ok(n)
    }
}

fn parse(bytes: &[u8]) -> Option<Reply> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let raw = &bytes[end + 4..];
    let is_chunked = headers.iter().any(|(k, v)| k == "transfer-encoding" && v == "chunked");
    let body = if is_chunked { join_chunks(raw)? } else { raw.to_vec() };
    let n_body_bytes = body.len();
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Some(Reply { status, headers, text, n_body_bytes, body })
}

fn join_chunks(mut raw: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = raw.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&raw[..line_end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        raw = &raw[line_end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(raw.get(..size)?);
        raw = raw.get(size + 2..)?;
    }
}
