//! Servers of plain bytes.

use crate::machine;
use crate::place::Place;
use std::io;
use std::net::Ipv4Addr;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket};

/// Largest datagram.
const DATAGRAM_MAX_BYTES: usize = 65_535;

/// Sends back every byte, after a line with the machine's name if it `greets`.
pub(crate) async fn echo(place: &Place, greets: bool) -> io::Result<()> {
    let listener = place.listen().await?;
    loop {
        let (stream, _from) = listener.accept().await?;
        // A visitor that goes away is no reason to end.
        tokio::spawn(async move { send_back(stream, greets).await.ok() });
    }
}

async fn send_back(mut stream: TcpStream, greets: bool) -> io::Result<()> {
    let (mut from, mut to) = stream.split();
    if greets {
        to.write_all(format!("{}\n", machine()).as_bytes()).await?;
    }
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}

/// Sends back every datagram with the machine's name in front of it.
pub(crate) async fn echo_datagrams(place: &Place) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, place.port)).await?;
    let mut bytes = vec![0; DATAGRAM_MAX_BYTES];
    loop {
        let (n_read, from) = socket.recv_from(&mut bytes).await?;
        let answer = [machine().as_bytes(), b" ", &bytes[..n_read]].concat();
        socket.send_to(&answer, from).await?;
    }
}

/// Takes connections and keeps them, silent.
pub(crate) async fn mute(place: &Place) -> io::Result<()> {
    let listener = place.listen().await?;
    let mut kept = Vec::new();
    loop {
        kept.push(listener.accept().await?);
    }
}
