//! `guest-probe api METHOD TARGET [BODY]`: one request to the machine's own API socket. Prints the
//! status and the body; fails when nobody answers.

use crate::say::{failed, say, usage};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

/// The machine's own API.
const SOCKET: &str = "/.fly/api";

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

pub(crate) fn run(words: &[&str]) -> ExitCode {
    let (method, target, body) = match words {
        [method, target] => (method, target, ""),
        [method, target, body] => (method, target, *body),
        _ => return usage("api METHOD TARGET [BODY]"),
    };
    match request(method, target, body) {
        Ok(answer) => say(&answer),
        Err(error) => failed(&error),
    }
}

/// Status, a line break, and the body as it came.
fn request(method: &str, target: &str, body: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let length = body.len();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).ok_or(io::ErrorKind::InvalidData)?;
    Ok(format!("{status}\n{body}"))
}
