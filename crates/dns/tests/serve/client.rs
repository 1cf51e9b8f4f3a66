//! How a machine asks.

use crate::source;
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

/// Longest wait for an answer: more than all attempts upstream take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(12);

/// A question with recursion and without EDNS.
pub(crate) fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    message
}

/// The same with EDNS and room for `payload` bytes.
pub(crate) fn question_with_room(name: &str, kind: RecordType, payload: u16) -> Message {
    let mut message = question(name, kind);
    let mut edns = Edns::new();
    edns.set_max_payload(payload);
    message.set_edns(edns);
    message
}

/// A UDP socket of machine `number`, connected to the resolver.
pub(crate) async fn udp(number: u8, resolver: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((source(number), 0)).await.expect("bound");
    socket.connect(resolver).await.expect("connected");
    socket
}

/// A TCP connection of machine `number` to the resolver.
pub(crate) async fn tcp(number: u8, resolver: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((source(number), 0).into()).expect("bound");
    timeout(PATIENCE, socket.connect(resolver)).await.expect("in time").expect("connected")
}

/// Asks over UDP from machine `number`.
pub(crate) async fn ask(number: u8, resolver: SocketAddr, question: &Message) -> Message {
    let socket = udp(number, resolver).await;
    socket.send(&question.to_vec().expect("writable")).await.expect("sent");
    let answer = receive(&socket).await;
    assert_eq!(answer.metadata.id, question.metadata.id);
    assert!(answer.queries[0].name.eq_case(&question.queries[0].name), "in the asker's case");
    answer
}

/// Asks for addresses over UDP from machine `number`: the code and the addresses.
pub(crate) async fn look_up(
    number: u8,
    resolver: SocketAddr,
    name: &str,
) -> (ResponseCode, Vec<IpAddr>) {
    let answer = ask(number, resolver, &question(name, RecordType::A)).await;
    (answer.metadata.response_code, addresses(&answer))
}

/// The next datagram as a message.
pub(crate) async fn receive(socket: &UdpSocket) -> Message {
    let mut buffer = vec![0; 65_536];
    let n_bytes = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("in time");
    Message::from_vec(&buffer[..n_bytes.expect("received")]).expect("readable")
}

/// Sends one question into a stream.
pub(crate) async fn write(stream: &mut TcpStream, question: &Message) {
    let bytes = question.to_vec().expect("writable");
    let n_bytes = u16::try_from(bytes.len()).expect("short");
    stream.write_all(&[&n_bytes.to_be_bytes()[..], &bytes].concat()).await.expect("sent");
}

/// The next message of a stream; `None` at its end.
pub(crate) async fn read(stream: &mut TcpStream) -> Option<Message> {
    let read = async {
        let n_bytes = stream.read_u16().await.ok()?;
        let mut bytes = vec![0; usize::from(n_bytes)];
        stream.read_exact(&mut bytes).await.ok()?;
        Some(Message::from_vec(&bytes).expect("readable"))
    };
    timeout(PATIENCE, read).await.expect("in time")
}

/// Addresses in the answers.
pub(crate) fn addresses(message: &Message) -> Vec<IpAddr> {
    message
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(a) => Some(a.0.into()),
            RData::AAAA(aaaa) => Some(aaaa.0.into()),
            _ => None,
        })
        .collect()
}

/// One address, from text.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
