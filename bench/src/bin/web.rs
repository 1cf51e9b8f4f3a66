//! A small static web server: what stands behind the doors that are measured.
//!
//! `bench-web ADDRESS` answers `GET /bytes/<n>` with so many bytes and any other request with a short
//! page, in HTTP/1.1 over connections that are kept. One thread and few system calls, so that what is
//! measured is the way to it.

use anyhow::Context as _;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

/// Connections that may wait to be accepted: a herd comes all at once.
const BACKLOG: i32 = 1024;

/// Largest head of a request; proxies add some headers to the few of the benchmark.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// The short page.
const PAGE: &[u8] = b"Hello from a machine.\n";

/// What long answers are made of.
static FILL: [u8; 64 * 1024] = [b'.'; 64 * 1024];

/// What the listening socket is called in events; connections count from zero.
const LISTENER: u64 = u64::MAX;

fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).context("usage: bench-web ADDRESS")?;
    let listener = TcpListener::bind(&address).with_context(|| format!("cannot use {address}"))?;
    rustix::net::listen(&listener, BACKLOG).context("cannot listen")?;
    listener.set_nonblocking(true).context("cannot listen without waiting")?;
    Server::new(listener).context("cannot wait for events")?.serve()
}

struct Server {
    listener: TcpListener,
    events: OwnedFd,
    visitors: HashMap<u64, Visitor>,
    n_accepted: u64,
}

impl Server {
    fn new(listener: TcpListener) -> std::io::Result<Self> {
        let events = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&events, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(Self { listener, events, visitors: HashMap::new(), n_accepted: 0 })
    }

    fn serve(mut self) -> anyhow::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        loop {
            events.clear();
            match epoll::wait(&self.events, rustix::buffer::spare_capacity(&mut events), None) {
                Err(rustix::io::Errno::INTR) => continue,
                waited => waited.context("cannot wait for events")?,
            };
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept().context("cannot accept")?,
                    number => self.go_on(number),
                }
            }
        }
    }

    fn accept(&mut self) -> std::io::Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            // It has gone again.
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let number = self.n_accepted;
        self.n_accepted += 1;
        let both_ways = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&self.events, &stream, EventData::new_u64(number), both_ways)?;
        self.visitors.insert(number, Visitor::new(stream));
        Ok(())
    }

    fn go_on(&mut self, number: u64) {
        let Some(visitor) = self.visitors.get_mut(&number) else { return };
        if !matches!(visitor.go_on(), Ok(Next::Wait)) {
            self.visitors.remove(&number);
        }
    }
}

/// A connection.
struct Visitor {
    stream: TcpStream,
    asked: Vec<u8>,
    /// Bytes of the answer that are not sent, and how many of [`FILL`] follow them.
    answer: Vec<u8>,
    n_fill: u64,
}

enum Next {
    Wait,
    End,
}

impl Visitor {
    fn new(stream: TcpStream) -> Self {
        Self { stream, asked: Vec::new(), answer: Vec::new(), n_fill: 0 }
    }

    /// Reads and answers until only the other side can go on.
    fn go_on(&mut self) -> std::io::Result<Next> {
        let mut bytes = [0; 4096];
        let mut may_hold_more = true;
        loop {
            if !self.send()? {
                return Ok(Next::Wait);
            }
            if let Some(end) = self.asked.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.asked.drain(..end + 4).collect();
                self.reply(&head);
                continue;
            }
            // A read that did not fill its room has emptied the socket: the next byte is an event.
            if !may_hold_more {
                return Ok(Next::Wait);
            }
            let n = match self.stream.read(&mut bytes) {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Next::Wait),
                Err(error) => return Err(error),
            };
            if n == 0 || self.asked.len() + n > HEAD_MAX_BYTES {
                return Ok(Next::End);
            }
            self.asked.extend_from_slice(&bytes[..n]);
            may_hold_more = n == bytes.len();
        }
    }

    fn reply(&mut self, head: &[u8]) {
        let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let wanted = path.strip_prefix(b"/bytes/").and_then(|n| std::str::from_utf8(n).ok());
        let wanted: Option<u64> = wanted.and_then(|n| n.parse().ok());
        let length = wanted.unwrap_or(PAGE.len() as u64);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
        );
        self.answer = head.into_bytes();
        match wanted {
            Some(length) => self.n_fill = length,
            None => self.answer.extend_from_slice(PAGE),
        }
    }

    /// Sends what can be sent; whether that is all.
    fn send(&mut self) -> std::io::Result<bool> {
        while !self.answer.is_empty() || self.n_fill > 0 {
            let room = usize::try_from(self.n_fill).unwrap_or(usize::MAX).min(FILL.len());
            let bytes = if self.answer.is_empty() { &FILL[..room] } else { &self.answer[..] };
            let sent = match self.stream.write(bytes) {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            if self.answer.is_empty() {
                self.n_fill -= sent as u64;
            } else {
                self.answer.drain(..sent);
            }
        }
        Ok(true)
    }
}
