//! A host that gives prepared answers, and the program that asks it.

use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for the program's own words.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listening socket, and what has been heard on it.
pub(crate) struct Host {
    dir: TempDir,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Host {
    /// Gives these answers, one a connection, and then hears no more.
    pub(crate) fn answering<const N: usize>(answers: [String; N]) -> Self {
        let dir = TempDir::with_prefix("dm-").expect("a temporary directory");
        let listener = UnixListener::bind(dir.path().join("api")).expect("a socket");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&heard);
        // It ends with its last answer, or with the test's process.
        std::thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().expect("a connection");
                let request = request(&stream);
                book.lock().expect("no panic").push(request);
                // The program may have left.
                (&stream).write_all(answer.as_bytes()).unwrap_or_default();
            }
        });
        Self { dir, heard }
    }

    /// Requests so far: `METHOD PATH [If-Match: …] BODY`.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("no panic").clone()
    }

    /// Runs the program.
    pub(crate) fn dm(&self, words: &[&str]) -> Ran {
        self.dm_with_input(words, "")
    }

    /// Runs the program with something to read.
    pub(crate) fn dm_with_input(&self, words: &[&str], input: &str) -> Ran {
        dm_over(&self.dir.path().join("api"), words, input)
    }

    /// Runs the program with nobody to read its answer; returns its exit code.
    pub(crate) fn dm_without_reader(&self, words: &[&str]) -> Option<i32> {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = command(&self.dir.path().join("api"), words);
        command.stdout(writer).stderr(Stdio::null());
        command.status().expect("the program runs").code()
    }
}

fn request(mut stream: &UnixStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        let n_bytes = stream.read(&mut buffer).expect("the program speaks");
        assert!(n_bytes > 0, "the program has left after {text:?}");
        text += std::str::from_utf8(&buffer[..n_bytes]).expect("text");
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = |name| head.lines().find(|line: &&str| line.starts_with(name));
            let length = header("Content-Length: ").and_then(|line| line[16..].parse().ok());
            if length == Some(body.len()) {
                let first = head.lines().next().and_then(|line| line.strip_suffix(" HTTP/1.1"));
                let if_match =
                    header("If-Match").map(|line| format!("{line} ")).unwrap_or_default();
                return format!("{} {if_match}{body}", first.expect("HTTP/1.1"));
            }
        }
    }
}

/// What the program has said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Ran {
    #[track_caller]
    pub(crate) fn is(&self, stdout: &str, stderr: &str, code: i32) {
        let said = (self.stdout.as_str(), self.stderr.as_str(), self.code);
        assert_eq!(said, (stdout, stderr, code));
    }
}

fn command(socket: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dm"));
    command.args(words).env_clear().env("DORMOUSE_API", socket);
    command
}

/// Runs the program over a socket.
pub(crate) fn dm_over(socket: &Path, words: &[&str], input: &str) -> Ran {
    let mut command = command(socket, words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that reads nothing may have ended.
    stdin.write_all(input.as_bytes()).unwrap_or_default();
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran {
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        code: output.status.code().expect("no signal"),
    }
}

/// A good answer.
pub(crate) fn ok(body: &Value) -> String {
    answer("200 OK", &body.to_string())
}

/// A refusal.
pub(crate) fn refused(status: u16, body: &Value) -> String {
    answer(&format!("{status} Refused"), &body.to_string())
}

/// What a machine's shim says while the daemon is away.
pub(crate) fn away() -> String {
    let body = r#"{"error":"control is away","code":"control_unavailable","retryable":true,"hint":"retry in a second"}"#;
    answer("503 Service Unavailable", body)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
