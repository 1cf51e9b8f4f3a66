//! One question to one upstream server, over UDP and, when the answer is cut off, over TCP.
//!
//! Against forged answers each question has its own socket, so its own random port, a random id
//! and a name in random case. A datagram that does not repeat all of it is not the answer. One
//! that differs in case alone may come from an old server: then the question is asked over TCP,
//! where nobody else can answer.

use crate::forward::{Ask, ForwardError};
use crate::reply::UDP_MAX_BYTES;
use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Datagrams that are not the answer before the question is asked over TCP instead.
const STRAYS_MAX: u32 = 16;

/// Room for one datagram, in bytes: more than was asked for, so a longer one is noticed.
const DATAGRAM_BYTES: usize = UDP_MAX_BYTES as usize + 1;

/// Makes the sockets by which upstream servers are asked.
///
/// The server itself lives in a network namespace from which the host's resolvers cannot be
/// reached; a socket stays in the namespace in which it was made.
pub trait Sockets: Send + Sync + 'static {
    /// A UDP socket for questions to `upstream`, on a port of the kernel's choice, not connected.
    ///
    /// # Errors
    /// The kernel's.
    fn udp(
        &self,
        upstream: SocketAddr,
    ) -> impl Future<Output = io::Result<std::net::UdpSocket>> + Send;

    /// A TCP socket of `upstream`'s family, neither bound nor connected.
    ///
    /// # Errors
    /// The kernel's.
    fn tcp(&self, upstream: SocketAddr) -> impl Future<Output = io::Result<OwnedFd>> + Send;
}

/// Sockets of the calling thread's own network namespace.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostSockets;

impl HostSockets {
    /// What [`Sockets::udp`] promises, without waiting: for a thread that makes sockets for others.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_udp(upstream: SocketAddr) -> io::Result<std::net::UdpSocket> {
        match upstream {
            SocketAddr::V4(_) => std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
        }
    }

    /// What [`Sockets::tcp`] promises, without waiting.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make_tcp(upstream: SocketAddr) -> io::Result<OwnedFd> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};
        let family = match upstream {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?)
    }
}

impl Sockets for HostSockets {
    async fn udp(&self, upstream: SocketAddr) -> io::Result<std::net::UdpSocket> {
        Self::make_udp(upstream)
    }

    async fn tcp(&self, upstream: SocketAddr) -> io::Result<OwnedFd> {
        Self::make_tcp(upstream)
    }
}

/// What came back in datagrams.
pub(crate) enum Datagram {
    /// The whole answer.
    Answer(Message),
    /// The question must be asked over TCP.
    AskByTcp,
}

/// Asks over UDP and waits without end: the caller bounds the time.
pub(crate) async fn by_udp<S: Sockets>(
    sockets: &S,
    upstream: SocketAddr,
    ask: &Ask,
) -> Result<Datagram, ForwardError> {
    let io = |source| ForwardError::Io { doing: "ask", upstream, source };
    let query = compose(ask);
    let bytes = query.to_vec().map_err(ForwardError::Unwritable)?;
    let socket = sockets.udp(upstream).await.map_err(io)?;
    socket.set_nonblocking(true).map_err(io)?;
    let socket = tokio::net::UdpSocket::from_std(socket).map_err(io)?;
    // Connected: the kernel drops what comes from elsewhere.
    socket.connect(upstream).await.map_err(io)?;
    socket.send(&bytes).await.map_err(io)?;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    for _ in 0..STRAYS_MAX {
        let n_bytes = socket.recv(&mut buffer).await.map_err(io)?;
        match judge(&query, &buffer[..n_bytes]) {
            Judged::Answer(message) => return Ok(Datagram::Answer(*message)),
            Judged::Doubtful => return Ok(Datagram::AskByTcp),
            Judged::Stray => {}
        }
    }
    Ok(Datagram::AskByTcp)
}

/// Asks over TCP and waits without end: the caller bounds the time.
pub(crate) async fn by_tcp<S: Sockets>(
    sockets: &S,
    upstream: SocketAddr,
    ask: &Ask,
) -> Result<Message, ForwardError> {
    let io = |source| ForwardError::Io { doing: "connect to", upstream, source };
    let query = compose(ask);
    let bytes = query.to_vec().map_err(ForwardError::Unwritable)?;
    let socket = std::net::TcpStream::from(sockets.tcp(upstream).await.map_err(io)?);
    socket.set_nonblocking(true).map_err(io)?;
    let socket = tokio::net::TcpSocket::from_std_stream(socket);
    let mut stream = socket.connect(upstream).await.map_err(io)?;
    let io = |source| ForwardError::Io { doing: "ask", upstream, source };
    let n_bytes = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let framed = [&n_bytes.to_be_bytes()[..], &bytes].concat();
    stream.write_all(&framed).await.map_err(io)?;
    let n_bytes = stream.read_u16().await.map_err(io)?;
    let mut answer = vec![0; usize::from(n_bytes)];
    stream.read_exact(&mut answer).await.map_err(io)?;
    let message = parse(&answer).filter(|message| is_answer_to(&query, message));
    message.ok_or(ForwardError::Unreadable { upstream })
}

/// A new message that asks: random id, random case.
fn compose(ask: &Ask) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = ask.checking_disabled;
    let mut query = ask.query.clone();
    query.name = query.name.to_lowercase();
    query.name.randomize_label_case();
    message.add_query(query);
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_MAX_BYTES).set_dnssec_ok(ask.dnssec_ok);
    message.set_edns(edns);
    message
}

/// What a datagram is.
enum Judged {
    Answer(Box<Message>),
    /// It may be the answer, but is cut off, unreadable or not surely of the one who was asked.
    Doubtful,
    /// It is not the answer.
    Stray,
}

fn judge(query: &Message, bytes: &[u8]) -> Judged {
    let header = Header::read(&mut BinDecoder::new(bytes)).ok();
    let Some(header) = header.filter(|header| is_reply_header(query, header)) else {
        return Judged::Stray;
    };
    if header.metadata.truncation || bytes.len() >= DATAGRAM_BYTES {
        return Judged::Doubtful;
    }
    let Some(message) = parse(bytes) else { return Judged::Doubtful };
    if !is_answer_to(query, &message) {
        return Judged::Stray;
    }
    let is_same_case = message.queries[0].name.eq_case(&query.queries[0].name);
    if is_same_case { Judged::Answer(Box::new(message)) } else { Judged::Doubtful }
}

fn is_reply_header(query: &Message, header: &Header) -> bool {
    header.metadata.id == query.metadata.id
        && header.metadata.message_type == MessageType::Response
        && header.metadata.op_code == OpCode::Query
        && header.counts.queries == 1
}

/// Reads a whole message, once its header has been found to hold one question.
fn parse(bytes: &[u8]) -> Option<Message> {
    let header = Header::read(&mut BinDecoder::new(bytes)).ok()?;
    (header.counts.queries == 1).then(|| Message::from_vec(bytes).ok()).flatten()
}

/// Same id, and the same question apart from case.
fn is_answer_to(query: &Message, message: &Message) -> bool {
    message.metadata.id == query.metadata.id
        && message.metadata.message_type == MessageType::Response
        && message.queries == query.queries
}
