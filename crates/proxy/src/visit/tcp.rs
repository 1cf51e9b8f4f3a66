//! Bytes passed on as they are, both ways, each to its end.

use super::drain::DrainToken;
use super::{HOLD_MAX, Visitor, proxy_proto};
use crate::access_log::Line;
use crate::desk::{Admitted, Ask, Backend, Desk, Place, RunPhase, Target, Turned, Wishes};
use model::spec::service::Handler;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

/// Most bytes that are read of a visitor before it has a machine.
const AHEAD_MAX_BYTES: usize = 16 * 1024;

/// Bytes that are passed on at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Longest silence of a connection of which one direction has ended.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(60);

/// Serves a connection until it ends.
pub(crate) async fn serve<S>(
    desk: Desk,
    visitor: Visitor,
    mut stream: S,
    target: Target,
    _drain: DrainToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut line = Line::new(if visitor.is_tls { "tls" } else { "tcp" });
    let ask = Ask {
        port: visitor.port,
        target,
        wishes: Wishes::default(),
        request: None,
        deadline: Instant::now() + HOLD_MAX,
    };
    let mut ahead = Vec::with_capacity(AHEAD_MAX_BYTES);
    let reached = tokio::select! {
        reached = desk.reach(&ask) => Some(reached),
        () = has_left(&mut stream, &mut ahead) => None,
    };
    match reached {
        Some(Ok((admitted, backend))) => {
            line.admitted(&admitted);
            let passed = pass(&visitor, stream, &ahead, &admitted, backend).await;
            (line.received_bytes, line.sent_bytes) = passed;
        }
        Some(Err(turned)) => line.turned(&turned),
        None => line.turned(&Turned::left()),
    }
    line.write(&visitor);
}

/// Reads ahead, as much as there is room for, and returns when the visitor has gone: it broke the
/// connection, or ended it without a byte. One that has said something and ended its own direction
/// waits for an answer.
async fn has_left<S: AsyncRead + Unpin>(stream: &mut S, ahead: &mut Vec<u8>) {
    while ahead.len() < AHEAD_MAX_BYTES {
        let room = AHEAD_MAX_BYTES - ahead.len();
        match stream.take(room as u64).read_buf(ahead).await {
            Ok(0) if ahead.is_empty() => return,
            Ok(0) => break,
            Ok(_) => {}
            Err(_broken) => return,
        }
    }
    std::future::pending().await
}

/// Passes bytes both ways until both ends have ended, one breaks, or the run is over. Returns how
/// many came from the visitor, and went to it.
async fn pass<S>(
    visitor: &Visitor,
    stream: S,
    ahead: &[u8],
    admitted: &Admitted,
    mut backend: Backend,
) -> (u64, u64)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (received, sent) = (AtomicU64::new(0), AtomicU64::new(0));
    let place = &admitted.place;
    place.meter().opened();
    if greet(visitor, ahead, admitted, &mut backend).await.is_ok() {
        received.store(ahead.len() as u64, Ordering::Relaxed);
        let (from_visitor, to_visitor) = tokio::io::split(stream);
        let (from_machine, to_machine) = backend.into_split();
        let up = direction(from_visitor, to_machine, &received, place);
        let down = direction(from_machine, to_visitor, &sent, place);
        let mut phase = place.phase();
        let over = async move {
            drop(phase.wait_for(|phase| *phase == RunPhase::Ended).await);
        };
        tokio::select! {
            () = both(up, down, (&received, &sent)) => {}
            () = over => {}
        }
    }
    let passed = (received.into_inner(), sent.into_inner());
    place.meter().passed(passed.0, passed.1);
    passed
}

/// Sends what goes before all else.
async fn greet(
    visitor: &Visitor,
    ahead: &[u8],
    admitted: &Admitted,
    backend: &mut Backend,
) -> io::Result<()> {
    if admitted.port.handlers.contains(&Handler::ProxyProto) {
        let version = admitted.port.proxy_proto;
        let header = proxy_proto::header(version, visitor.peer, visitor.local);
        backend.write_all(&header).await?;
    }
    backend.write_all(ahead).await
}

/// Waits for both directions. One that breaks ends the other at once; one that ends well leaves the
/// other time until it is silent.
async fn both(
    up: impl Future<Output = io::Result<()>>,
    down: impl Future<Output = io::Result<()>>,
    counters: (&AtomicU64, &AtomicU64),
) {
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    let is_well = tokio::select! {
        ended = &mut up => match ended {
            Ok(()) => while_it_speaks(down, counters.1).await,
            Err(error) => Err(error),
        },
        ended = &mut down => match ended {
            Ok(()) => while_it_speaks(up, counters.0).await,
            Err(error) => Err(error),
        },
    };
    if let Err(error) = is_well {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn while_it_speaks(
    mut other: std::pin::Pin<&mut impl Future<Output = io::Result<()>>>,
    counter: &AtomicU64,
) -> io::Result<()> {
    let mut before = counter.load(Ordering::Relaxed);
    loop {
        if let Ok(ended) = tokio::time::timeout(HALF_CLOSED_MAX, &mut other).await {
            return ended;
        }
        let now = counter.load(Ordering::Relaxed);
        if now == before {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        before = now;
    }
}

/// One direction: to its end, which is passed on too.
async fn direction(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    counter: &AtomicU64,
    place: &Place,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let n_read = from.read(&mut piece).await?;
        if n_read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..n_read]).await?;
        to.flush().await?;
        counter.fetch_add(n_read as u64, Ordering::Relaxed);
        place.touch();
    }
}
