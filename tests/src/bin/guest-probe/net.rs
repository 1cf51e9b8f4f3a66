//! Networking without luxuries.
//!
//! * `connect ADDRESS PORT`: reads what the other side says first; fails when it cannot be reached.
//! * `serve PORT WORDS`: says `WORDS` to everyone who connects, over IPv4 and IPv6.
//! * `hear PORT`: prints every datagram to that port, IPv4.
//! * `tell ADDRESS PORT WORDS`: sends a datagram.
//! * `spoof SOURCE ADDRESS PORT WORDS`: sends a datagram that claims to come from `SOURCE`.
//! * `spoof-frame SOURCE ADDRESS PORT WORDS`: the same below IP, past the local routing.
//! * `abstract NAME`: connects to an abstract unix socket.

use crate::say::{failed, say, usage};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

mod packet;

/// Longest wait for a connection: refusals come at once, silence means that packets are dropped.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Longest datagram that is printed.
const DATAGRAM_MAX_BYTES: usize = 1500;

pub(crate) fn connect(words: &[&str]) -> ExitCode {
    let [address, port] = words else { return usage("connect ADDRESS PORT") };
    let (Ok(address), Ok(port)) = (address.parse::<IpAddr>(), port.parse()) else {
        return usage("connect ADDRESS PORT");
    };
    outcome(connect_and_read(SocketAddr::new(address, port)))
}

fn connect_and_read(to: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, CONNECT_MAX)?;
    stream.set_read_timeout(Some(CONNECT_MAX))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

fn outcome(result: io::Result<String>) -> ExitCode {
    match result {
        Ok(text) => say(&text),
        Err(error) => failed(&error),
    }
}

pub(crate) fn serve(words: &[&str]) -> ExitCode {
    let [port, text] = words else { return usage("serve PORT WORDS") };
    let Ok(port) = port.parse() else { return usage("serve PORT WORDS") };
    let Err(error) = serve_for_ever(port, text);
    failed(&error)
}

fn serve_for_ever(port: u16, text: &str) -> io::Result<std::convert::Infallible> {
    // Linux takes IPv4 on the unspecified IPv6 address, too.
    let listener = TcpListener::bind((std::net::Ipv6Addr::UNSPECIFIED, port))?;
    loop {
        let (mut stream, _from) = listener.accept()?;
        // Who does not stay to listen is no reason to end.
        stream.write_all(text.as_bytes()).ok();
    }
}

pub(crate) fn hear(words: &[&str]) -> ExitCode {
    let [port] = words else { return usage("hear PORT") };
    let Ok(port) = port.parse() else { return usage("hear PORT") };
    let Err(error) = hear_for_ever(port);
    failed(&error)
}

fn hear_for_ever(port: u16) -> io::Result<std::convert::Infallible> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let mut buffer = [0; DATAGRAM_MAX_BYTES];
    writeln!(io::stdout(), "ready")?;
    loop {
        let (n_bytes, from) = socket.recv_from(&mut buffer)?;
        let text = String::from_utf8_lossy(&buffer[..n_bytes]);
        writeln!(io::stdout(), "{} says {text}", from.ip())?;
    }
}

pub(crate) fn tell(words: &[&str]) -> ExitCode {
    let [address, port, text] = words else { return usage("tell ADDRESS PORT WORDS") };
    let (Ok(address), Ok(port)) = (address.parse::<Ipv4Addr>(), port.parse::<u16>()) else {
        return usage("tell ADDRESS PORT WORDS");
    };
    let told = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.send_to(text.as_bytes(), (address, port)));
    outcome(told.map(|n_bytes| format!("told {n_bytes} bytes")))
}

pub(crate) fn spoof(words: &[&str]) -> ExitCode {
    send_forged(words, packet::send_raw)
}

pub(crate) fn spoof_frame(words: &[&str]) -> ExitCode {
    send_forged(words, packet::send_frame)
}

fn send_forged(words: &[&str], send: fn(&[u8], Ipv4Addr) -> io::Result<()>) -> ExitCode {
    const USAGE: &str = "spoof|spoof-frame SOURCE ADDRESS PORT WORDS";
    let [source, address, port, text] = words else { return usage(USAGE) };
    let (Ok(source), Ok(address), Ok(port)) = (source.parse(), address.parse(), port.parse())
    else {
        return usage(USAGE);
    };
    let forged = packet::datagram(source, address, port, text.as_bytes());
    outcome(send(&forged, address).map(|()| format!("sent as {source}")))
}

pub(crate) fn connect_abstract(words: &[&str]) -> ExitCode {
    let [name] = words else { return usage("abstract NAME") };
    let connected = std::os::unix::net::SocketAddr::from_abstract_name(name)
        .and_then(|address| UnixStream::connect_addr(&address));
    outcome(connected.map(|_stream| "connected".to_owned()))
}
