//! Many visitors at once, on one thread: each asks, reads the answer to its end, and may ask again.
//!
//! The same crowd goes to everybody. It takes part of the processors that are measured, so it does
//! little: one read and one write for each short answer.

use crate::clock::{ms_between, now_ns};
use crate::stats::Samples;
use anyhow::{Context as _, bail, ensure};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Longest time without any answer: above what a visitor may be held for.
const SILENCE_MAX: Timespec = Timespec { tv_sec: 90, tv_nsec: 0 };

/// Largest head of an answer.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Bytes read at once: much for long answers.
const ROOM_BYTES: usize = 256 * 1024;

/// Visitors that are connected and ask for one thing.
pub(crate) struct Crowd {
    events: OwnedFd,
    visitors: Vec<Visitor>,
    request: Vec<u8>,
    room: Vec<u8>,
    /// Numbers of those who have just got their answer.
    served: Vec<usize>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Milliseconds from a request to the end of its answer.
    pub(crate) took_ms: Samples,
    /// Bytes of bodies, also of answers that had not ended.
    pub(crate) n_bytes: u64,
}

struct Visitor {
    stream: TcpStream,
    asked_ns: u64,
    served_ns: u64,
    head: Vec<u8>,
    /// Bytes of the body that are still to come, once the head has ended.
    left: Option<u64>,
}

impl Crowd {
    /// Connects one visitor to each address; each will ask for `path` of `host`.
    pub(crate) fn connect(to: &[SocketAddr], host: &str, path: &str) -> anyhow::Result<Self> {
        let events = epoll::create(CreateFlags::CLOEXEC).context("cannot wait for events")?;
        let connected = to.iter().zip(0_u64..).map(|(address, number)| {
            let stream = connect(*address)?;
            epoll::add(&events, &stream, EventData::new_u64(number), EventFlags::IN)?;
            Ok(Visitor { stream, asked_ns: 0, served_ns: 0, head: Vec::new(), left: None })
        });
        let visitors = connected.collect::<anyhow::Result<Vec<_>>>()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
        Ok(Self { events, visitors, request, room: vec![0; ROOM_BYTES], served: Vec::new() })
    }

    /// Everybody asks, and again as soon as the answer has come; counts for so long, and returns when
    /// the last answers have come.
    pub(crate) fn ask_for(&mut self, time: Duration) -> anyhow::Result<Answers> {
        let until_ns = now_ns() + u64::try_from(time.as_nanos()).context("too long a time")?;
        let mut answers = Answers::default();
        let mut n_asking = self.all_ask()?;
        while n_asking > 0 {
            let n_bytes = self.wait()?;
            if now_ns() >= until_ns {
                n_asking -= self.served.len();
                continue;
            }
            answers.n_bytes += n_bytes;
            for number in &self.served {
                answers.took_ms.push(self.visitors[*number].took_ms());
                self.visitors[*number].ask(&self.request)?;
            }
        }
        Ok(answers)
    }

    /// Everybody asks once, all at the same time.
    pub(crate) fn ask_once(&mut self) -> anyhow::Result<Answers> {
        let mut answers = Answers::default();
        let mut n_asking = self.all_ask()?;
        while n_asking > 0 {
            answers.n_bytes += self.wait()?;
            n_asking -= self.served.len();
            answers
                .took_ms
                .append(self.served.iter().map(|n| self.visitors[*n].took_ms()).collect());
        }
        Ok(answers)
    }

    fn all_ask(&mut self) -> anyhow::Result<usize> {
        for visitor in &mut self.visitors {
            visitor.ask(&self.request)?;
        }
        Ok(self.visitors.len())
    }

    /// Waits until something comes and reads it; returns the bytes of bodies in it. Who has got a
    /// whole answer is in `served`.
    fn wait(&mut self) -> anyhow::Result<u64> {
        let nothing = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = [nothing; 64];
        let n =
            epoll::wait(&self.events, &mut events, Some(&SILENCE_MAX)).context("cannot wait")?;
        ensure!(n > 0, "no answer comes any more");
        self.served.clear();
        let mut n_bytes = 0;
        for event in &events[..n] {
            let number = usize::try_from(event.data.u64()).context("nobody has this number")?;
            let visitor = self.visitors.get_mut(number).context("nobody has this number")?;
            n_bytes += visitor.read(&mut self.room)?;
            if visitor.has_answer() {
                self.served.push(number);
            }
        }
        Ok(n_bytes)
    }
}

fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let connect = || {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        std::io::Result::Ok(stream)
    };
    connect().with_context(|| format!("cannot reach {address}"))
}

impl Visitor {
    fn ask(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.left = None;
        self.asked_ns = now_ns();
        // So little always finds room: the answer before has been read.
        self.stream.write_all(request).context("cannot ask")
    }

    fn has_answer(&self) -> bool {
        self.left == Some(0)
    }

    fn took_ms(&self) -> f64 {
        ms_between(self.asked_ns, self.served_ns)
    }

    /// Reads what is there; returns how much of it is of the body. What is not a good answer is an
    /// error.
    fn read(&mut self, room: &mut [u8]) -> anyhow::Result<u64> {
        let n = match self.stream.read(room) {
            Ok(0) => bail!("a connection was closed"),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error).context("cannot read an answer"),
        };
        let (n_body, left) = match self.left {
            Some(left) => (n, left),
            None => match self.end_of_head(&room[..n])? {
                Some((end, length)) => (n - end, length),
                None => return Ok(0),
            },
        };
        let n_body = n_body as u64;
        self.left = Some(left.checked_sub(n_body).context("more came than was announced")?);
        self.served_ns = now_ns();
        Ok(n_body)
    }

    /// Where in these bytes the head ends, if it does, and the length of the body.
    fn end_of_head(&mut self, bytes: &[u8]) -> anyhow::Result<Option<(usize, u64)>> {
        let n_before = self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(HEAD_MAX_BYTES)]);
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(self.head.len() < HEAD_MAX_BYTES, "the head of an answer is too large");
            return Ok(None);
        };
        let end = end + 4;
        let length = length_of(&self.head[..end])?;
        self.head.clear();
        Ok(Some((end - n_before, length)))
    }
}

/// The length that the head of a good answer announces.
fn length_of(head: &[u8]) -> anyhow::Result<u64> {
    let head = std::str::from_utf8(head).context("the head of an answer is no text")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "refused: {}", head.trim_end());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    length.with_context(|| format!("an answer without a length: {}", head.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::{Crowd, length_of};
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    #[test]
    fn only_a_good_answer_has_a_length() {
        let length = |head: &str| length_of(head.as_bytes()).ok();
        assert_eq!(length("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"), Some(7));
        assert_eq!(length("HTTP/1.1 503 No\r\nContent-Length: 7\r\n\r\n"), None);
        assert_eq!(length("HTTP/1.1 200 OK\r\n\r\n"), None);
    }

    /// Answers in pieces that end in the middle of the head and of the body.
    fn serve(listener: &TcpListener, n_answers: usize) {
        let (mut stream, _) = listener.accept().unwrap();
        let mut room = [0; 1024];
        for _ in 0..n_answers {
            if stream.read(&mut room).unwrap() == 0 {
                return;
            }
            for piece in ["HTTP/1.1 200 OK\r\nContent-", "Length: 5\r\n\r\nhe", "llo"] {
                stream.write_all(piece.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    #[test]
    fn answers_are_read_to_their_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || serve(&listener, 1_000));
        let mut crowd = Crowd::connect(&[address], "host", "/").unwrap();
        let answers = crowd.ask_once().unwrap();
        assert_eq!((answers.took_ms.len(), answers.n_bytes), (1, 5));
        let answers = crowd.ask_for(Duration::from_millis(50)).unwrap();
        assert!(answers.took_ms.len() > 0 && answers.n_bytes > 0);
        drop(crowd);
        server.join().unwrap();
    }
}
