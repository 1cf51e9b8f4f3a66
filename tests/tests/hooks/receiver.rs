//! A service on loopback that machines notify: it answers as it is told, and keeps what it got.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use testkit::eventually;

/// How a letter is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// With this status.
    Status(u16),
    /// Sent to another path of this receiver.
    Redirect,
    /// Not at all, while the receiver lives.
    Silence,
}

/// A letter as it came.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Letter {
    /// A header's value.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no `{name}` in {:?}", self.headers))
    }
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    letters: Vec<Letter>,
    answers: VecDeque<Answer>,
    silenced: Vec<TcpStream>,
    is_closed: bool,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    /// Answers the first letters with `answers` and all others with 200.
    pub(crate) fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let answers = answers.iter().copied().collect();
        let shared = Arc::new(Mutex::new(Shared { answers, ..Shared::default() }));
        let serving = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if lock(&serving).is_closed {
                    return;
                }
                // How a connection ends is its sender's business.
                drop(serve(stream, &serving));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// The argument that lets notifications come here.
    pub(crate) fn option(&self) -> String {
        format!("--allow-notify={}", self.address)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in", self.address)
    }

    /// What came so far.
    pub(crate) fn letters(&self) -> Vec<Letter> {
        lock(&self.shared).letters.clone()
    }

    /// Waits until so many letters have come.
    #[track_caller]
    pub(crate) fn wait_for(&self, n_letters: usize) -> Vec<Letter> {
        eventually("letters come", || Some(self.letters()).filter(|all| all.len() >= n_letters))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        lock(&self.shared).is_closed = true;
        // Wakes the thread; it may have ended by itself.
        drop(TcpStream::connect(self.address));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn serve(stream: TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    let letter = read(&stream)?;
    let mut shared = lock(shared);
    shared.letters.push(letter);
    let head = match shared.answers.pop_front().unwrap_or(Answer::Status(200)) {
        Answer::Status(status) => format!("HTTP/1.1 {status} x\r\n"),
        Answer::Redirect => "HTTP/1.1 307 x\r\nlocation: /elsewhere\r\n".to_owned(),
        Answer::Silence => {
            shared.silenced.push(stream);
            return Ok(());
        }
    };
    (&stream).write_all(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes())
}

fn read(stream: &TcpStream) -> io::Result<Letter> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let n_bytes = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; n_bytes];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok(Letter { target, headers, body })
}
