//! One HTTP/1.1 call over a unix socket, with every read bounded in bytes and time.

use crate::failure::Failure;
use serde_json::Value;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time for an answer beyond what the call itself waits for: a busy host answers in
/// milliseconds, and a write to a slow disk in seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest head of an answer; the host's have some 300 bytes.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Longest answer: a hundred messages of the greatest length, 25 MiB, and what JSON makes of them.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;

/// What is asked of the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// The body, as JSON.
    pub body: Option<Value>,
    /// Only at this revision.
    pub if_match: Option<u64>,
    /// How long the host may wait before it answers.
    pub wait: Duration,
    /// Twice is as good as once.
    pub may_repeat: bool,
}

impl Call {
    /// A call that may be repeated.
    #[must_use]
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        let path = path.into();
        Self { method, path, body: None, if_match: None, wait: Duration::ZERO, may_repeat: true }
    }

    /// With a body.
    #[must_use]
    pub fn with(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Not to be made twice.
    #[must_use]
    pub fn once(self) -> Self {
        Self { may_repeat: false, ..self }
    }

    /// The host may wait so long before it answers.
    #[must_use]
    pub fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Makes the call; the answer is JSON.
    ///
    /// # Errors
    /// [`Failure::Refused`] with the host's words, [`Failure::Unreachable`] without.
    pub fn make(&self, socket: &Path) -> Result<Value, Failure> {
        let answer = self.exchange(socket).map_err(|source| Failure::Unreachable {
            what: format!("no answer from {}", socket.display()),
            source: Some(source),
        })?;
        if !(200..300).contains(&answer.status) {
            return Err(Failure::refused(answer.status, &answer.body));
        }
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).map_err(|error| Failure::Unreachable {
            what: format!("the answer to {} {} is no JSON", self.method, self.path),
            source: Some(error.into()),
        })
    }

    fn exchange(&self, socket: &Path) -> io::Result<Answer> {
        let deadline = Instant::now() + self.wait + PATIENCE;
        let mut stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(self.text().as_bytes())?;
        let mut heard = Vec::new();
        let mut buffer = [0; READ_BYTES];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            let n_bytes = match stream.read(&mut buffer) {
                Ok(n_bytes) => n_bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(error) => return Err(error),
            };
            heard.extend_from_slice(&buffer[..n_bytes]);
            match answer(&heard, n_bytes == 0)? {
                Some(answer) => return Ok(answer),
                None if n_bytes == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        }
    }

    /// The request as it is sent.
    fn text(&self) -> String {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
            self.method, self.path
        );
        if let Some(revision) = self.if_match {
            text += &format!("If-Match: \"{revision}\"\r\n");
        }
        match &self.body {
            Some(body) => {
                let body = body.to_string();
                let length = body.len();
                text += "Content-Type: application/json\r\n";
                text += &format!("Content-Length: {length}\r\n\r\n{body}");
            }
            None => text += "Content-Length: 0\r\n\r\n",
        }
        text
    }
}

/// What the host said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// How the end of a body is told.
enum Length {
    Bytes(usize),
    Chunks,
    UntilEnd,
}

/// The answer in `heard`, when all of it is there.
fn answer(heard: &[u8], is_end: bool) -> io::Result<Option<Answer>> {
    let Some(head_end) = find(&heard[..heard.len().min(HEAD_MAX_BYTES)], b"\r\n\r\n") else {
        return if heard.len() < HEAD_MAX_BYTES { Ok(None) } else { Err(broken("a long head")) };
    };
    let head = std::str::from_utf8(&heard[..head_end]).map_err(|_not_text| broken("its head"))?;
    let (status, length) = read_head(head).ok_or_else(|| broken("its head"))?;
    let rest = &heard[head_end + 4..];
    if rest.len() > ANSWER_MAX_BYTES {
        return Err(broken("a long body"));
    }
    let body = match length {
        Length::Bytes(n) if n > ANSWER_MAX_BYTES => return Err(broken("a long body")),
        Length::Bytes(n) => rest.get(..n).map(<[u8]>::to_vec),
        Length::Chunks => unchunk(rest)?,
        Length::UntilEnd => is_end.then(|| rest.to_vec()),
    };
    Ok(body.map(|body| Answer { status, body }))
}

fn read_head(head: &str) -> Option<(u16, Length)> {
    let mut lines = head.split("\r\n");
    let status_line = lines.next()?.strip_prefix("HTTP/1.")?;
    let status = status_line.split(' ').nth(1)?.parse().ok()?;
    let mut length = Length::UntilEnd;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            length = Length::Bytes(value.trim().parse().ok()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            length = value.trim().eq_ignore_ascii_case("chunked").then_some(Length::Chunks)?;
        }
    }
    if status == 204 {
        length = Length::Bytes(0);
    }
    Some((status, length))
}

/// The body in its chunks, when the last one is there.
fn unchunk(mut rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(line_end) = find(rest, b"\r\n") {
        let line = std::str::from_utf8(&rest[..line_end]).unwrap_or("");
        let digits = line.split(';').next().unwrap_or("").trim();
        let n_bytes = usize::from_str_radix(digits, 16).map_err(|_no_number| broken("a chunk"))?;
        if n_bytes == 0 {
            return Ok(Some(body));
        }
        let chunk = &rest[line_end + 2..];
        let Some(after) = n_bytes.checked_add(2).and_then(|n| chunk.get(n..)) else {
            return Ok(None);
        };
        body.extend_from_slice(&chunk[..n_bytes]);
        rest = after;
    }
    Ok(None)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the answer is not HTTP as we know it: {what}"),
    )
}

/// `text` as one segment of a path or one value of a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(heard: &str, is_end: bool, expected: Option<(u16, &str)>) {
        let answer = answer(heard.as_bytes(), is_end).expect("HTTP");
        let answer = answer.map(|a| (a.status, String::from_utf8(a.body).expect("text")));
        assert_eq!(answer, expected.map(|(status, body)| (status, body.to_owned())), "{heard}");
    }

    #[test]
    fn answers_end_where_they_say() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}more", false, Some((200, "{}")));
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", false, None);
        check("HTTP/1.1 200 OK\r\nContent-Le", false, None);
        check("HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", false, Some((204, "")));
        let chunked = "HTTP/1.1 409 Conflict\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(
            &format!("{chunked}3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
            false,
            Some((409, "abcde")),
        );
        check(&format!("{chunked}3\r\nab"), false, None);
        check(&format!("{chunked}ffffffffffffffff\r\nab"), false, None);
        check("HTTP/1.0 200 OK\r\n\r\nrest", false, None);
        check("HTTP/1.0 200 OK\r\n\r\nrest", true, Some((200, "rest")));
    }

    #[test]
    fn nonsense_and_floods_are_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_MAX_BYTES));
        let huge = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", ANSWER_MAX_BYTES + 1);
        let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n";
        for wrong in ["SSH-2.0\r\n\r\n", "HTTP/1.1 x\r\n\r\n", &long, &huge, chunk] {
            assert!(answer(wrong.as_bytes(), false).is_err(), "{wrong:.40}");
        }
    }

    #[test]
    fn requests_say_what_they_carry() {
        let get = Call::new("GET", "/v1/self").text();
        assert_eq!(
            get,
            "GET /v1/self HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let patch = Call { if_match: Some(7), ..Call::new("PATCH", "/x").with(json!({"a": 1})) };
        let text = patch.text();
        assert!(text.contains("If-Match: \"7\"\r\n"), "{text}");
        assert!(text.ends_with("Content-Length: 7\r\n\r\n{\"a\":1}"), "{text}");
        assert_eq!(encoded("a b/ü"), "a%20b%2F%C3%BC");
    }
}
