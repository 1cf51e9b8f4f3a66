//! Connecting to a machine.

use crate::load::RunPhase;
use crate::turned::Turned;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// First pause after a connection that was refused: the program is about to listen.
const PAUSE_FIRST: Duration = Duration::from_millis(1);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How long IPv4 is waited for before IPv6 is tried beside it. Source: RFC 8305, 5.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to one of two addresses of a run, again and again until `deadline` while nobody listens.
///
/// # Errors
/// [`Turned`]; with [`Turned::is_gone`] the run has ended.
pub(crate) async fn connect(
    to: (SocketAddr, SocketAddr),
    mut phase: watch::Receiver<RunPhase>,
    deadline: Instant,
) -> Result<TcpStream, Turned> {
    let phase_now = phase.clone();
    let ended = async move {
        // The sender goes with the record: the run is over then too.
        drop(phase.wait_for(|phase| *phase == RunPhase::Ended).await);
    };
    let has_ended =
        move || phase_now.has_changed().is_err() || *phase_now.borrow() == RunPhase::Ended;
    tokio::select! {
        biased;
        () = ended => Err(Turned::gone()),
        dialled = dial_until(to, deadline) => match dialled {
            Ok(_) if has_ended() => Err(Turned::gone()),
            Ok(stream) => Ok(stream),
            Err(error) => Err(Turned::refused_connection(&error)),
        },
    }
}

async fn dial_until(to: (SocketAddr, SocketAddr), deadline: Instant) -> io::Result<TcpStream> {
    let mut pause = PAUSE_FIRST;
    loop {
        let error = match tokio::time::timeout_at(deadline, dial(to)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => error,
            Err(_elapsed) => io::Error::from(io::ErrorKind::TimedOut),
        };
        if Instant::now() + pause >= deadline {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Connects once, by whichever address answers.
///
/// # Errors
/// That of IPv4, if neither does.
pub(crate) async fn dial((v4, v6): (SocketAddr, SocketAddr)) -> io::Result<TcpStream> {
    let mut first = std::pin::pin!(TcpStream::connect(v4));
    match tokio::time::timeout(HEAD_START, &mut first).await {
        Ok(Ok(stream)) => return Ok(stream),
        // Of the two errors that of IPv4 says more: IPv6 is often not there at all.
        Ok(Err(error)) => return TcpStream::connect(v6).await.map_err(|_v6| error),
        Err(_elapsed) => {}
    }
    let mut second = std::pin::pin!(TcpStream::connect(v6));
    tokio::select! {
        stream = &mut first => match stream {
            Ok(stream) => Ok(stream),
            Err(_v4) => second.await,
        },
        stream = &mut second => match stream {
            Ok(stream) => Ok(stream),
            Err(_v6) => first.await,
        },
    }
}
