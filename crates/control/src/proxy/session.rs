//! One connection of a proxy: all records, then each change, and what the proxy says.

use super::{CheckResult, ORDERS_MAX, Process, Proxy, knock, records};
use crate::control::Control;
use crate::error::ControlError;
use model::MachineId;
use model::cause::KnockRequest;
use proxy_proto::message::{FromProxy, KnockOutcome, Load, ToProxy};
use proxy_proto::{Link, LinkError, LinkReader, LinkWriter, RouteState, VERSION, VERSION_MIN};
use rustix::net::sockopt::socket_peercred;
use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore, mpsc};

/// Longest wait for the first word of a proxy, and longest time that it may not read.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Pause after a socket that could not be accepted.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Knocks that are worked on at once: one for each machine at most, so this many machines.
const KNOCKS_MAX: usize = 4_096;

/// What a session needs of the rest of control.
pub(super) trait House: Clone + Send + Sync + 'static {
    /// What is kept of all sessions.
    fn proxy(&self) -> &Proxy;

    /// Every record there is.
    fn all(&self) -> Result<Vec<ToProxy>, ControlError>;

    /// An app as it is now.
    fn app(&self, name: &str) -> Result<ToProxy, ControlError>;

    /// A machine as it is now.
    fn machine(&self, id: &MachineId) -> Result<ToProxy, ControlError>;

    /// A visitor wants a machine.
    fn knocked(
        &self,
        machine: &MachineId,
        internal_port: u16,
        request: Option<KnockRequest>,
    ) -> impl Future<Output = KnockOutcome> + Send;

    /// The visitors of a machine are others than before; `is_edge` when that makes it busy, or ends
    /// its being so.
    fn visited(&self, machine: &MachineId, is_edge: bool);
}

impl House for Control {
    fn proxy(&self) -> &Proxy {
        &self.inner.proxy
    }

    fn all(&self) -> Result<Vec<ToProxy>, ControlError> {
        records::all(self)
    }

    fn app(&self, name: &str) -> Result<ToProxy, ControlError> {
        records::of_app(self, name)
    }

    fn machine(&self, id: &MachineId) -> Result<ToProxy, ControlError> {
        Ok(match records::of_machine(self, id)? {
            Some(route) => ToProxy::Machine(Box::new(route)),
            None => ToProxy::MachineGone { machine: id.clone() },
        })
    }

    async fn knocked(
        &self,
        machine: &MachineId,
        internal_port: u16,
        request: Option<KnockRequest>,
    ) -> KnockOutcome {
        knock::answer(self, machine, internal_port, request).await
    }

    fn visited(&self, machine: &MachineId, is_edge: bool) {
        self.inner.governor.visited(machine, is_edge);
    }
}

/// The socket for the proxy, readable by this user only.
///
/// # Errors
/// When it cannot be made.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Speaks with whoever connects, for as long as control lives.
pub(crate) async fn serve_for_ever(control: Control, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_ours(&stream) => {
                drop(tokio::spawn(converse(control.clone(), stream)));
            }
            Ok(_) => tracing::warn!("another user is at the proxy's socket"),
            Err(error) => {
                tracing::warn!(%error, "a connection of the proxy cannot be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn is_ours(stream: &UnixStream) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::getuid())
}

/// One connection, to its end.
pub(super) async fn converse(house: impl House, stream: UnixStream) {
    let (mut reader, writer) = Link::split(stream);
    let of = match tokio::time::timeout(SILENCE_MAX, reader.next::<FromProxy>()).await {
        Ok(Ok(Some(FromProxy::Hello { version, build, pid, begun_ms })))
            if version >= VERSION_MIN =>
        {
            tracing::info!(pid, build, version, "the proxy is here");
            Process { pid, begun_ms }
        }
        Ok(Ok(said)) => {
            tracing::warn!(?said, "the proxy's first word is not understood");
            return;
        }
        Ok(Err(error)) => return tracing::debug!(%error, "a proxy left at once"),
        Err(_elapsed) => return tracing::warn!("a proxy connected and says nothing"),
    };
    let (orders, waiting) = mpsc::channel(ORDERS_MAX);
    let (number, rung) = begin(&house, of, orders.clone());
    let ended = tokio::select! {
        ended = tell(&house, number, (writer, waiting), &rung) => ended,
        ended = hear(&house, number, reader, &orders) => ended,
    };
    if let Err(error) = ended {
        tracing::info!(pid = of.pid, %error, "the proxy is gone");
    }
    end(&house, number);
}

fn begin(house: &impl House, of: Process, orders: mpsc::Sender<ToProxy>) -> (u64, Arc<Notify>) {
    let (begun, one_too_many) = {
        let mut state = house.proxy().lock();
        let begun = state.begin(of, orders, model::clock::now());
        (begun, state.one_too_many())
    };
    if let Some(oldest) = one_too_many {
        tracing::warn!("too many proxies are here: the oldest is not heard any more");
        end(house, oldest);
    }
    begun
}

fn end(house: &impl House, number: u64) {
    let visited = house.proxy().lock().end(number, model::clock::now());
    for machine in visited {
        let is_free = house.proxy().visitors(&machine).is_some_and(|v| v.gone_at.is_some());
        house.visited(&machine, is_free);
    }
}

/// Sends all records, then what is dirty and what is ordered, until the session is not kept any
/// more.
async fn tell(
    house: &impl House,
    number: u64,
    (mut writer, mut orders): (LinkWriter, mpsc::Receiver<ToProxy>),
    rung: &Notify,
) -> Result<(), LinkError> {
    let build = env!("CARGO_PKG_VERSION").to_owned();
    say(&mut writer, &ToProxy::Welcome { version: VERSION, build }).await?;
    let records = house.all().map_err(broken)?;
    for record in &records {
        say(&mut writer, record).await?;
    }
    for order in still_going(house) {
        say(&mut writer, &order).await?;
    }
    say(&mut writer, &ToProxy::Complete).await?;
    begin_to_count(house, &records);
    loop {
        let Some(changes) = changes(house, number) else { return Ok(()) };
        for change in changes.map_err(broken)? {
            say(&mut writer, &change).await?;
        }
        tokio::select! {
            // Each is safe to be dropped: an order stays in the queue, a bell stays rung.
            order = orders.recv() => match order {
                Some(order) => say(&mut writer, &order).await?,
                None => return Ok(()),
            },
            () = rung.notified() => {}
        }
    }
}

/// Sends; a proxy that does not read is of no use.
async fn say(writer: &mut LinkWriter, message: &ToProxy) -> Result<(), LinkError> {
    match tokio::time::timeout(SILENCE_MAX, writer.send(message)).await {
        Ok(sent) => sent,
        Err(_elapsed) => Err(LinkError::Io(io::Error::from(io::ErrorKind::TimedOut))),
    }
}

/// The proxy comes again, and is told everything anew.
fn broken(error: ControlError) -> LinkError {
    LinkError::Io(io::Error::other(error))
}

/// What a proxy that has just come must not send anybody to; nobody waits for its answer.
fn still_going(house: &impl House) -> Vec<ToProxy> {
    let mut state = house.proxy().lock();
    let ticket = state.next();
    let going = state.going.iter().cloned();
    going.map(|machine| ToProxy::Quiesce { ticket, machine, only_if_idle: false }).collect()
}

/// From now on somebody counts the visitors of machines that run: those who wait for them to be gone
/// look again.
fn begin_to_count(house: &impl House, records: &[ToProxy]) {
    for record in records {
        if let ToProxy::Machine(route) = record
            && matches!(route.state, RouteState::Up { .. })
        {
            house.visited(&route.machine, true);
        }
    }
}

/// What has changed since this was last asked, as it is now; `None` when the session is not kept any
/// more.
fn changes(house: &impl House, number: u64) -> Option<Result<Vec<ToProxy>, ControlError>> {
    let (machines, apps) = {
        let mut state = house.proxy().lock();
        let session = state.sessions.get_mut(&number)?;
        (std::mem::take(&mut session.dirty), std::mem::take(&mut session.dirty_apps))
    };
    let apps = apps.iter().map(|app| house.app(app));
    let machines = machines.iter().map(|id| {
        let record = house.machine(id)?;
        if matches!(record, ToProxy::MachineGone { .. }) {
            house.proxy().lock().forget(id);
        }
        Ok(record)
    });
    Some(apps.chain(machines).collect())
}

/// Takes in what the proxy says.
async fn hear(
    house: &impl House,
    number: u64,
    mut reader: LinkReader,
    orders: &mpsc::Sender<ToProxy>,
) -> Result<(), LinkError> {
    let turns = Arc::new(Semaphore::new(KNOCKS_MAX));
    loop {
        let Some(said) = reader.next::<FromProxy>().await? else { continue };
        match said {
            FromProxy::Knock { ticket, machine, internal_port, request } => {
                let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return Ok(()) };
                let (house, orders) = (house.clone(), orders.clone());
                drop(tokio::spawn(async move {
                    let outcome = house.knocked(&machine, internal_port, request).await;
                    // A connection that is gone takes its visitors with it, or asks again.
                    drop(orders.send(ToProxy::Knocked { ticket, outcome }).await);
                    drop(turn);
                }));
            }
            FromProxy::Load(load) => loaded(house, number, load),
            said => take_in(house.proxy(), number, said),
        }
    }
}

/// The load of a machine has changed: what follows from that is looked at.
fn loaded(house: &impl House, number: u64, load: Load) {
    let proxy = house.proxy();
    let machine = load.machine.clone();
    let is_free = || proxy.visitors(&machine).is_some_and(|v| v.gone_at.is_some());
    let was_free = is_free();
    if let Some(session) = proxy.lock().sessions.get_mut(&number) {
        session.loads.insert(machine.clone(), load);
    }
    let is_edge = was_free != is_free();
    house.visited(&machine, is_edge);
}

/// Everything that is only written down, or answers a question.
fn take_in(proxy: &Proxy, number: u64, said: FromProxy) {
    let mut state = proxy.lock();
    let is_newest = state.newest() == Some(number);
    match said {
        FromProxy::Quiet { ticket, load } => {
            let session = state.sessions.get_mut(&number);
            if let Some(waiting) = session.and_then(|session| session.quiets.remove(&ticket)) {
                drop(waiting.send(load));
            }
        }
        FromProxy::Checked { machine, check, health, output, at } if is_newest => {
            let result = CheckResult { health, output, at };
            state.checks.entry(machine).or_default().insert(check, result);
        }
        FromProxy::Description { ticket, description } => {
            let session = state.sessions.get_mut(&number);
            let waiting = session.and_then(|session| session.descriptions.remove(&ticket));
            if let Some(waiting) = waiting {
                drop(waiting.send(*description));
            }
        }
        // Checks of one that was replaced are those of before; the others are dealt with already.
        FromProxy::Checked { .. }
        | FromProxy::Hello { .. }
        | FromProxy::Knock { .. }
        | FromProxy::Load(_) => {}
    }
}
