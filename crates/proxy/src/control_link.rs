//! The connection to control, kept for as long as the process lives.

use crate::book::Book;
use crate::book::report::IDLE_REPORT;
use crate::desk::Desk;
use crate::visit::door::Doors;
use proxy_proto::message::Description;
use proxy_proto::{FromProxy, Link, LinkError, LinkReader, LinkWriter, ToProxy};
use rustix::time::{ClockId, clock_gettime};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;

/// First pause between two attempts.
const BACKOFF_FIRST: Duration = Duration::from_millis(10);

/// Longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Longest wait for control's first message, and longest time that it may not read.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Most machines in a description.
const DESCRIBED_MAX: usize = 1_000;

/// Most bytes of machines in a description: half of a frame.
const MACHINES_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Most counters in a description: a third of a frame.
const METRICS_MAX: usize = 15_000;

/// Why a connection has ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("control is not there")]
    Absent(#[source] std::io::Error),
    #[error("the link is broken")]
    Link(#[from] LinkError),
    #[error("control does not say who it is")]
    NoWelcome,
    #[error("control speaks version {0}, which is too old")]
    Version(u16),
    #[error("control does not read")]
    NotRead,
}

/// Connects, again and again.
pub(crate) async fn keep(desk: Desk, doors: Arc<Doors>, path: PathBuf) {
    let begun_ms = uptime_ms();
    let mut pause = BACKOFF_FIRST;
    loop {
        let (was_up, ended) = session(&desk, &doors, &path, begun_ms).await;
        if was_up {
            desk.with(Book::link_down);
            desk.expect_control();
            pause = BACKOFF_FIRST;
            tracing::info!(error = &ended as &dyn std::error::Error, "control is away");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(BACKOFF_MAX);
    }
}

/// Tells control from time to time how much machines have to do, while they have.
pub(crate) async fn report_loads(desk: Desk) {
    loop {
        desk.bells().active.notified().await;
        while desk.with(Book::report_loads) {
            tokio::time::sleep(IDLE_REPORT).await;
        }
    }
}

/// One connection, to its end; says whether control was there.
async fn session(desk: &Desk, doors: &Doors, path: &Path, begun_ms: u64) -> (bool, Ended) {
    let (mut reader, writer) = match greet(path, begun_ms).await {
        Ok(link) => link,
        Err(ended) => return (false, ended),
    };
    desk.with(|book, _now| book.link_up());
    let ended = tokio::select! {
        ended = listen(desk, doors, &mut reader) => ended,
        ended = speak(desk, writer) => ended,
    };
    (true, ended)
}

async fn greet(path: &Path, begun_ms: u64) -> Result<(LinkReader, LinkWriter), Ended> {
    let stream = UnixStream::connect(path).await.map_err(Ended::Absent)?;
    let (mut reader, mut writer) = Link::split(stream);
    let build = env!("CARGO_PKG_VERSION").to_owned();
    let pid = std::process::id();
    let version = proxy_proto::VERSION;
    writer.send(&FromProxy::Hello { version, build, pid, begun_ms }).await?;
    let first = tokio::time::timeout(SILENCE_MAX, reader.next()).await;
    match first {
        Ok(Ok(Some(ToProxy::Welcome { version, build }))) => {
            if version < proxy_proto::VERSION_MIN {
                return Err(Ended::Version(version));
            }
            tracing::info!(version, build, "control is there");
            Ok((reader, writer))
        }
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(_)) | Err(_) => Err(Ended::NoWelcome),
    }
}

/// How long the host has been up: nobody sets that clock.
fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let ms = Duration::try_from(now).map_or(0, |up| up.as_millis());
    u64::try_from(ms).unwrap_or(u64::MAX)
}

async fn listen(desk: &Desk, doors: &Doors, reader: &mut LinkReader) -> Ended {
    loop {
        match reader.next().await {
            Ok(Some(message)) => hear(desk, doors, message),
            Ok(None) => {}
            Err(error) => return error.into(),
        }
        // A control that sends much leaves room for visitors.
        tokio::task::yield_now().await;
    }
}

async fn speak(desk: &Desk, mut writer: LinkWriter) -> Ended {
    loop {
        for message in desk.with(|book, _now| book.take_outbox()) {
            match tokio::time::timeout(SILENCE_MAX, writer.send(&message)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.into(),
                Err(_elapsed) => return Ended::NotRead,
            }
        }
        if desk.read(Book::is_outbox_full) {
            return Ended::NotRead;
        }
        desk.bells().outbox.notified().await;
    }
}

fn hear(desk: &Desk, doors: &Doors, message: ToProxy) {
    if let ToProxy::Describe { ticket, app } = message {
        let description = Box::new(describe(desk, doors, app.as_deref()));
        desk.with(|book, _now| book.tell(FromProxy::Description { ticket, description }));
        return;
    }
    desk.with(|book, now| match message {
        ToProxy::Welcome { .. } | ToProxy::Describe { .. } => {}
        ToProxy::App(app) => book.apply_app(*app, now),
        ToProxy::Machine(route) => book.apply_machine(*route, now),
        ToProxy::AppGone { app } => book.remove_app(&app, now),
        ToProxy::MachineGone { machine } => book.remove_machine(&machine, now),
        ToProxy::Complete => book.complete(now),
        ToProxy::Knocked { ticket, outcome } => book.knocked(ticket, outcome, now),
        ToProxy::Quiesce { ticket, machine, only_if_idle } => {
            book.quiesce(ticket, &machine, only_if_idle);
        }
        ToProxy::Resume { machine } => book.resume(&machine, now),
        ToProxy::Drain { machine } => book.drain(&machine),
    });
}

/// What is known here, cut so that it fits into a message.
fn describe(desk: &Desk, doors: &Doors, app: Option<&str>) -> Description {
    let (mut machines, mut n_left_off) = desk.read(|book| book.describe(app, DESCRIBED_MAX));
    let mut n_bytes = 0;
    let fits = machines.iter().take_while(|machine| {
        n_bytes += serde_json::to_vec(machine).map_or(0, |bytes| bytes.len());
        n_bytes <= MACHINES_MAX_BYTES
    });
    let n_fit = fits.count();
    n_left_off += u32::try_from(machines.len() - n_fit).unwrap_or(u32::MAX);
    machines.truncate(n_fit);
    let mut metrics = desk.metrics().all();
    let n_held = u32::try_from(desk.read(Book::n_held)).unwrap_or(u32::MAX);
    metrics.push(("dormouse_proxy_held".to_owned(), f64::from(n_held)));
    metrics.truncate(METRICS_MAX);
    Description { doors: doors.describe(app), machines, metrics, n_left_off }
}
