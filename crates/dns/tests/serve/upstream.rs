//! An upstream server that follows a script.

use dns::Doors;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The way by which a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Udp,
    Tcp,
}

/// A server that answers each question with the messages its script gives. It ends with this.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<(Way, Message)>>>,
    gate: Arc<Semaphore>,
    _tasks: JoinSet<()>,
}

impl Upstream {
    pub(crate) fn start(
        script: impl Fn(&Message, Way) -> Vec<Message> + Send + Sync + 'static,
    ) -> Self {
        let upstream = Self::start_closed(script);
        upstream.open();
        upstream
    }

    /// The same, but no answer leaves before [`Self::open`].
    pub(crate) fn start_closed(
        script: impl Fn(&Message, Way) -> Vec<Message> + Send + Sync + 'static,
    ) -> Self {
        let doors = Doors::bind(&["127.0.0.1:0".parse().expect("an address")]).expect("bound");
        let address = doors.udp[0].local_addr().expect("an address");
        let (socket, listener) = into_tokio(doors);
        let (asked, script) = (Arc::new(Mutex::new(Vec::new())), Arc::new(script));
        let log = Arc::clone(&asked);
        let follow = Arc::new(move |bytes: &[u8], way| {
            let question = Message::from_vec(bytes).expect("a question that can be read");
            let answers = script(&question, way);
            log.lock().expect("no panic").push((way, question));
            answers.into_iter().map(|answer| answer.to_vec().expect("writable")).collect::<Vec<_>>()
        });
        let mut tasks = JoinSet::new();
        let gate = Arc::new(Semaphore::new(0));
        let (by_udp, udp_gate, tcp_gate) =
            (Arc::clone(&follow), Arc::clone(&gate), Arc::clone(&gate));
        tasks.spawn(async move {
            let mut buffer = vec![0; 4_096];
            loop {
                let (n_bytes, from) = socket.recv_from(&mut buffer).await.expect("received");
                let answers = by_udp(&buffer[..n_bytes], Way::Udp);
                drop(udp_gate.acquire().await.expect("open for ever"));
                for answer in answers {
                    socket.send_to(&answer, from).await.expect("sent");
                }
            }
        });
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("accepted");
                let n_bytes = stream.read_u16().await.expect("a length");
                let mut bytes = vec![0; usize::from(n_bytes)];
                stream.read_exact(&mut bytes).await.expect("a question");
                let answers = follow(&bytes, Way::Tcp);
                drop(tcp_gate.acquire().await.expect("open for ever"));
                for answer in answers {
                    let n_bytes = u16::try_from(answer.len()).expect("short");
                    let framed = [&n_bytes.to_be_bytes()[..], &answer].concat();
                    stream.write_all(&framed).await.expect("sent");
                }
            }
        });
        Self { address, asked, gate, _tasks: tasks }
    }

    /// A server that knows `address` for every name.
    pub(crate) fn with_address(address: &'static str) -> Self {
        Self::start(move |question, _| vec![answer(question, &[address], 300)])
    }

    /// A server that never answers.
    pub(crate) fn silent() -> Self {
        Self::start(|_, _| Vec::new())
    }

    /// Lets answers leave.
    pub(crate) fn open(&self) {
        self.gate.add_permits(1);
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<(Way, Message)> {
        self.asked.lock().expect("no panic").clone()
    }

    /// How often it was asked.
    pub(crate) fn n_asked(&self) -> usize {
        self.asked().len()
    }
}

/// The pair of sockets of `doors`, for this runtime.
fn into_tokio(mut doors: Doors) -> (UdpSocket, TcpListener) {
    let udp = doors.udp.pop().expect("one");
    let tcp = doors.tcp.pop().expect("one");
    udp.set_nonblocking(true).expect("set");
    tcp.set_nonblocking(true).expect("set");
    (UdpSocket::from_std(udp).expect("taken"), TcpListener::from_std(tcp).expect("taken"))
}

/// An answer without records.
pub(crate) fn bare(question: &Message, code: ResponseCode) -> Message {
    let mut message = Message::response(question.metadata.id, question.metadata.op_code);
    message.metadata.response_code = code;
    message.metadata.recursion_available = true;
    message.add_queries(question.queries.iter().cloned());
    message
}

/// An answer with these addresses.
pub(crate) fn answer(question: &Message, addresses: &[&str], ttl: u32) -> Message {
    let mut message = bare(question, ResponseCode::NoError);
    for address in addresses {
        let IpAddr::V4(v4) = address.parse().expect("an address") else { panic!("IPv4") };
        let name = question.queries[0].name.clone();
        message.add_answer(Record::from_rdata(name, ttl, RData::A(A(v4))));
    }
    message
}

/// An answer that the name does not exist.
pub(crate) fn unknown(question: &Message) -> Message {
    let mut message = bare(question, ResponseCode::NXDomain);
    let root = Name::root();
    let soa = SOA::new(root.clone(), root.clone(), 1, 1, 1, 1, 900);
    message.add_authority(Record::from_rdata(root, 900, RData::SOA(soa)));
    message
}
