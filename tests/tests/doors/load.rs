//! Visitors that come all the while: some keep their connections for many requests, one sends bytes
//! and wants them back. Whatever fails is kept in words.

use crate::house::{HOST, HTTP, RAW, door};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use testkit::{Instance, eventually};
use tests::fixture::let_pass;

/// Clients of HTTP that keep their connections.
const N_HTTP: usize = 4;

/// Pause of a visitor between two of its requests.
const PACE: Duration = Duration::from_millis(2);

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Visitors, until they are told to leave.
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    visitors: Vec<Visitor>,
}

struct Visitor {
    n_answered: Arc<AtomicU64>,
    /// What failed.
    thread: JoinHandle<Vec<String>>,
}

impl Load {
    /// Visitors of both machines of [`crate::house::two_up`]; each has been answered once.
    #[track_caller]
    pub(crate) fn begin(instance: &Instance) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (http, raw) = (door(instance, HTTP), door(instance, RAW));
        let mut visitors: Vec<Visitor> = Vec::new();
        for _ in 0..N_HTTP {
            visitors.push(Visitor::begin(&is_over, move || Keeper { at: http, kept: None }));
        }
        visitors.push(Visitor::begin(&is_over, move || Echo { at: raw, kept: None }));
        let load = Self { is_over, visitors };
        load.goes_on(1);
        load
    }

    /// Waits until each visitor has been answered `n` times more.
    #[track_caller]
    pub(crate) fn goes_on(&self, n: u64) {
        let count = |visitor: &Visitor| visitor.n_answered.load(Ordering::SeqCst);
        let wanted: Vec<u64> = self.visitors.iter().map(|visitor| count(visitor) + n).collect();
        eventually("visitors are answered", || {
            let mut each = self.visitors.iter().zip(&wanted);
            each.all(|(visitor, wanted)| count(visitor) >= *wanted).then_some(())
        });
    }

    /// Ends; nothing may have failed.
    #[track_caller]
    pub(crate) fn end(self) {
        self.is_over.store(true, Ordering::SeqCst);
        let failures = self.visitors.into_iter().map(|v| v.thread.join().expect("no panic"));
        let failures: Vec<String> = failures.flatten().collect();
        assert!(failures.is_empty(), "failed requests: {failures:#?}");
    }
}

/// Asks once, and is answered as it must be.
trait Asks {
    fn ask(&mut self) -> io::Result<()>;
}

impl Visitor {
    fn begin<A: Asks>(
        is_over: &Arc<AtomicBool>,
        make: impl FnOnce() -> A + Send + 'static,
    ) -> Self {
        let n_answered = Arc::new(AtomicU64::new(0));
        let (counter, is_over) = (Arc::clone(&n_answered), Arc::clone(is_over));
        let thread = std::thread::spawn(move || {
            let (mut asks, mut failures) = (make(), Vec::new());
            while !is_over.load(Ordering::SeqCst) {
                match asks.ask() {
                    Ok(()) => drop(counter.fetch_add(1, Ordering::SeqCst)),
                    Err(error) => failures.push(error.to_string()),
                }
                let_pass(PACE);
            }
            failures
        });
        Self { n_answered, thread }
    }
}

fn connect(at: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(at)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

/// Keeps its connection until it is told that an answer was the last one there.
struct Keeper {
    at: SocketAddr,
    kept: Option<BufReader<TcpStream>>,
}

impl Asks for Keeper {
    fn ask(&mut self) -> io::Result<()> {
        let mut connection = match self.kept.take() {
            Some(kept) => kept,
            None => BufReader::new(connect(self.at)?),
        };
        write!(connection.get_mut(), "GET /echo HTTP/1.1\r\nhost: {HOST}\r\n\r\n")?;
        let (mut status, mut n_body, mut is_last) = (String::new(), 0_u64, false);
        connection.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line)? == 0 {
                return Err(wrong(format!("ended in the head, after {status:?}")));
            }
            let line = line.trim_end().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", n)) => n_body = n.parse().map_err(io::Error::other)?,
                Some(("connection", "close")) => is_last = true,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        (&mut connection).take(n_body).read_to_end(&mut body)?;
        if !status.starts_with("HTTP/1.1 200 ") {
            return Err(wrong(format!("{status}{}", String::from_utf8_lossy(&body))));
        }
        self.kept = (!is_last).then_some(connection);
        Ok(())
    }
}

/// Keeps one connection for ever, and wants back what it sends.
struct Echo {
    at: SocketAddr,
    kept: Option<TcpStream>,
}

impl Asks for Echo {
    fn ask(&mut self) -> io::Result<()> {
        let mut stream = match self.kept.take() {
            Some(kept) => kept,
            None => connect(self.at)?,
        };
        let (sent, mut heard) = (*b"is anybody there?", [0; 17]);
        stream.write_all(&sent)?;
        stream.read_exact(&mut heard)?;
        if heard != sent {
            return Err(wrong("other bytes came back"));
        }
        self.kept = Some(stream);
        Ok(())
    }
}
