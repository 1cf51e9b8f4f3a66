//! WebSockets: after the handshake bytes are passed both ways, unread but for where frames end.
//!
//! Frame ends matter only for the goodbye: before its machine or this process ends, a visitor is told
//! `going away` between two frames.

use super::account::Account;
use super::pulse::Pulse;
use super::websocket::{Frames, GOING_AWAY};
use crate::desk::{Place, RunPhase};
use crate::visit::drain::DrainToken;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes passed at a time.
const COPY_BYTES: usize = 16 * 1024;

/// How long a visitor that was told `going away` has to say goodbye itself.
const GOODBYE_MAX: Duration = Duration::from_secs(3);

/// How long one direction may stay open after the other has ended.
const HALF_OPEN_MAX: Duration = Duration::from_secs(10);

/// Longest wait for the switch to bytes after both sides agreed to it.
const SWITCH_MAX: Duration = Duration::from_secs(10);

/// Both ends before the switch, and what lasts as long as they do.
#[derive(Debug)]
pub(crate) struct Tunnel {
    /// The visitor's end.
    pub(crate) visitor: OnUpgrade,
    /// The program's end.
    pub(crate) program: OnUpgrade,
    /// In the machine's load.
    pub(crate) place: Place,
    /// Longest silence.
    pub(crate) idle: Duration,
    /// The end of the process.
    pub(crate) drain: DrainToken,
    /// Closed when it ends.
    pub(crate) account: Box<Account>,
}

impl Tunnel {
    /// Passes bytes until one end ends, is silent for too long, or has to go away.
    pub(crate) async fn run(self) {
        let Self { visitor, program, mut place, idle, mut drain, mut account } = self;
        account.switched();
        let switch = tokio::time::timeout(SWITCH_MAX, async { tokio::try_join!(visitor, program) });
        let (visitor, program) = match switch.await {
            Ok(Ok(both)) => both,
            Ok(Err(error)) => return tracing::debug!(%error, "a WebSocket did not begin"),
            Err(_too_late) => return tracing::debug!("a WebSocket did not begin in time"),
        };
        place.upgraded();
        let pulse = Pulse::new();
        let mut phase = place.phase();
        let leaving = async {
            tokio::select! {
                () = drain.begun() => {}
                _ = phase.wait_for(|phase| *phase != RunPhase::Up) => {}
            }
        };
        let traffic = Traffic {
            pulse: &pulse,
            place: &place,
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        };
        tokio::select! {
            passed = pass(visitor, program, leaving, &traffic) => {
                if let Err(error) = passed {
                    tracing::debug!(%error, "a WebSocket broke");
                }
            }
            () = pulse.stopped(idle) => {}
        }
        account.received(traffic.up.load(Ordering::Relaxed));
        account.sent(traffic.down.load(Ordering::Relaxed));
    }
}

/// What has passed.
struct Traffic<'a> {
    pulse: &'a Pulse,
    place: &'a Place,
    up: AtomicU64,
    down: AtomicU64,
}

impl Traffic<'_> {
    fn beat(&self) {
        self.pulse.touch();
        self.place.touch();
    }
}

/// Passes bytes both ways; after `leaving` the visitor is told to go.
async fn pass(
    visitor: Upgraded,
    program: Upgraded,
    leaving: impl Future<Output = ()>,
    traffic: &Traffic<'_>,
) -> io::Result<()> {
    let (mut from_visitor, to_visitor) = tokio::io::split(TokioIo::new(visitor));
    let (from_program, mut to_program) = tokio::io::split(TokioIo::new(program));
    let up = async {
        copy(&mut from_visitor, &mut to_program, traffic).await?;
        to_program.shutdown().await
    };
    let down = pass_down(from_program, to_visitor, leaving, traffic);
    tokio::pin!(up, down);
    tokio::select! {
        ended = &mut up => {
            ended?;
            // What the program still says is worth a while.
            tokio::time::timeout(HALF_OPEN_MAX, down).await.unwrap_or(Ok(()))
        }
        // Who has left hears nothing more.
        ended = &mut down => ended,
    }
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    traffic: &Traffic<'_>,
) -> io::Result<()> {
    let mut bytes = vec![0; COPY_BYTES];
    loop {
        let n_read = from.read(&mut bytes).await?;
        if n_read == 0 {
            return Ok(());
        }
        traffic.beat();
        to.write_all(&bytes[..n_read]).await?;
        traffic.up.fetch_add(n_read as u64, Ordering::Relaxed);
        traffic.beat();
    }
}

/// The way to the visitor; once `leaving` is over, to the end of the frame and then the goodbye.
async fn pass_down(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    leaving: impl Future<Output = ()>,
    traffic: &Traffic<'_>,
) -> io::Result<()> {
    let mut bytes = vec![0; COPY_BYTES];
    let mut frames = Frames::new();
    let mut is_leaving = false;
    tokio::pin!(leaving);
    loop {
        if is_leaving && frames.is_between() {
            to.write_all(&GOING_AWAY).await?;
            to.flush().await?;
            wait_for_goodbye(&mut from, &mut bytes).await;
            return to.shutdown().await;
        }
        let n_read = tokio::select! {
            n_read = from.read(&mut bytes) => n_read?,
            () = &mut leaving, if !is_leaving => {
                is_leaving = true;
                continue;
            }
        };
        if n_read == 0 {
            return to.shutdown().await;
        }
        traffic.beat();
        let n_passed = if is_leaving { frames.to_end(&bytes[..n_read]) } else { n_read };
        frames.follow(&bytes[..n_passed]);
        to.write_all(&bytes[..n_passed]).await?;
        traffic.down.fetch_add(n_passed as u64, Ordering::Relaxed);
        traffic.beat();
    }
}

/// The visitor's goodbye goes up, and the program ends; what it says meanwhile comes too late.
async fn wait_for_goodbye(from: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) {
    let ended = async { while matches!(from.read(bytes).await, Ok(1..)) {} };
    if tokio::time::timeout(GOODBYE_MAX, ended).await.is_err() {
        tracing::debug!("a program did not end its WebSocket");
    }
}
