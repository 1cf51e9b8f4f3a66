//! What governs machines from outside any single one of them.
//!
//! Everything about one machine happens in its own task, also its evaluation. The governor decides
//! when that is needed, and tells the task; it evaluates nothing itself, and stores nothing: all of
//! this is derived from the store and from what happens, and made anew by each start of control.
//!
//! ```text
//! a moment comes (wheel) ──┐
//! a peer changes (readers) ┤
//! a turn comes (herd) ─────┼─► ready ─► tell(machine, Evaluate) ─► its task ─► set_next, set_reads
//! it is idle (signals) ────┤
//! control starts, clock jumps (sweep) ┘
//! ```
//!
//! * `wheel`, `clock`: moments of the wall clock. `ready`: who is told, a bounded number at once.
//! * `reads`, `readers`, `directory`, `peers`, `beats`: machines that read each other.
//! * `herd`: turns to wake. `permits`: leave to rest.
//! * `signals`: how busy machines are. `excess`: which of them their visitors do not need.

mod beats;
mod clock;
mod directory;
mod excess;
mod herd;
mod peers;
mod permits;
mod readers;
mod reads;
mod ready;
mod signals;
mod sweep;
mod wheel;

pub(crate) use clock::Clock;
pub(crate) use directory::find as find_peer;
pub(crate) use herd::Turn;
pub(crate) use peers::PeersNow;
pub(crate) use permits::RestPermit;
pub(crate) use reads::Reads;
pub(crate) use signals::Measured;

use crate::error::ControlError;
use crate::inner::Inner;
use crate::machine::Command;
use crate::proxy::{Proxy, Visitors};
use beats::Beats;
use excess::Excess;
use herd::Herd;
use model::{AppName, MachineId, State, UnixMs};
use net::MachineAddrs;
use net::router::{Flow, Flows};
use permits::Permits;
use readers::{Readers, Standing};
use ready::{Lane, Ready, Told};
use shim_proto::message::Usage;
use signals::Signals;
use std::sync::Arc;
use std::time::Duration;
use store::{MachineRecord, Store};
use tokio::sync::oneshot;
use wheel::Wheel;

/// Longest wait for a machine to say what it uses: less than the time between two such questions.
const USAGE_PATIENCE: Duration = Duration::from_secs(2);

/// What governs machines from outside any single one of them.
#[derive(Debug)]
pub(crate) struct Governor {
    store: Store,
    clock: Clock,
    ready: Arc<Ready>,
    wheel: Wheel,
    readers: Readers,
    beats: Beats,
    herd: Arc<Herd>,
    permits: Arc<Permits>,
    signals: Signals,
    excess: Excess,
    proxy: Arc<Proxy>,
}

impl Governor {
    /// A governor that does nothing by itself yet.
    pub(crate) fn new(store: Store, clock: Clock, host_cpus: u64, proxy: Arc<Proxy>) -> Self {
        let ready = Arc::new(Ready::default());
        Self {
            beats: Beats::new(clock.now()),
            herd: Herd::new(host_cpus, Arc::clone(&ready)),
            wheel: Wheel::default(),
            readers: Readers::default(),
            permits: Arc::default(),
            signals: Signals::default(),
            excess: Excess::default(),
            proxy,
            store,
            clock,
            ready,
        }
    }

    /// Begins to govern: the wheel is filled at once, then every machine that can act by itself is
    /// evaluated, overdue ones first. To be called after recovery.
    pub(crate) fn run(inner: &Arc<Inner>) {
        let tell = Arc::clone(inner);
        drop(tokio::spawn(async move {
            tell.governor.ready.tell_for_ever(|id| tell_to_evaluate(&tell, id)).await;
        }));
        let wheel = Arc::clone(inner);
        drop(tokio::spawn(async move {
            let Governor { wheel, clock, ready, .. } = &wheel.governor;
            wheel.turn_for_ever(clock, ready).await;
        }));
        let herd = Arc::clone(inner);
        drop(tokio::spawn(async move { herd.governor.herd.pass_on_for_ever().await }));
        let sweep = Arc::clone(inner);
        drop(tokio::spawn(async move { sweep.governor.sweep_for_ever().await }));
        let measure = Arc::clone(inner);
        drop(tokio::spawn(async move {
            let Governor { signals, clock, ready, .. } = &measure.governor;
            let flows = open_flows(&measure).await;
            let ask = |id| usage_of(Arc::clone(&measure), id);
            signals.measure_for_ever(clock, ready, ask, || list(flows.clone())).await;
        }));
    }

    /// The machine must be evaluated at this moment although nothing happens; `None`: never. Also
    /// says that an evaluation is over, so every one ends with this, whatever came of it.
    pub(crate) fn set_next(&self, id: &MachineId, at: Option<UnixMs>) {
        self.wheel.set(id, at);
        self.ready.done(id);
    }

    /// What the machine's rules and its `rest until` read of the world outside it, from now on. Said
    /// with each evaluation; the same once more costs nothing.
    pub(crate) fn set_reads(&self, id: &MachineId, app: &AppName, reads: &Reads) {
        self.readers.set(id, app, reads, &self.store);
        self.signals.set_reads(id, reads);
        let (press, now) = (|id: &MachineId| self.proxy.press(id), self.clock.now());
        self.surplus(self.excess.set_rests(id, app, reads.autostop, now, press));
    }

    /// How the machine stands: after each committed step, and when a task has read its record. Those
    /// who read its state are evaluated if it is another one, and those for whom its name now means
    /// something else.
    pub(crate) fn stands(&self, record: &MachineRecord) {
        let state = &record.machine.state;
        let standing = Standing {
            id: &record.id,
            app: &record.app,
            name: &record.name,
            state: state.api_name(),
        };
        self.ready.push_all(self.readers.heard(standing, &self.store), Lane::Now);
        if state.is_going_away() {
            self.forget(&record.id);
            return;
        }
        let is_up = matches!(state, State::Started { .. } | State::Resting { .. });
        self.signals.set_up(&record.id, is_up, MachineAddrs { v4: record.v4, v6: record.v6 });
        let (press, now) = (|id: &MachineId| self.proxy.press(id), self.clock.now());
        self.surplus(self.excess.set_up(&record.id, &record.app, is_up, now, press));
        if state.leads_up() {
            self.herd.withdraw(&record.id);
        }
    }

    /// The machine's facts have changed: those who read them are evaluated.
    pub(crate) fn changed(&self, id: &MachineId) {
        self.ready.push_all(self.readers.of(id), Lane::Now);
    }

    /// The machine is alive; whether that counts as a new beat. Those who count the seconds since
    /// then are evaluated.
    pub(crate) fn beat(&self, id: &MachineId, now: UnixMs) -> bool {
        let is_new = self.beats.beat(id, now);
        if is_new {
            self.ready.push_all(self.readers.of_beats(id), Lane::Now);
        }
        is_new
    }

    /// The last beat of the machine that this process has heard.
    pub(crate) fn beat_at(&self, id: &MachineId) -> Option<UnixMs> {
        self.beats.at(id)
    }

    /// So many commands run in the machine at somebody's request: exec and attach.
    pub(crate) fn busy(&self, id: &MachineId, n_sessions: u32) {
        if self.signals.set_sessions(id, n_sessions, self.clock.now()) {
            self.ready.push(id, Lane::Now);
        }
    }

    /// Since when nobody has come in to the machine, by the proxy or to run a command; `None` while
    /// somebody has, or nobody counts.
    pub(crate) fn gone_at(&self, id: &MachineId) -> Option<UnixMs> {
        let gone_at = self.visitors(id)?.gone_at?;
        let Measured { n_sessions, sessions_until, .. } = self.signals.of(id);
        (n_sessions == 0).then(|| sessions_until.map_or(gone_at, |until| until.max(gone_at)))
    }

    /// Since when the machine has been the one of its app that its visitors need least, and not at
    /// all.
    pub(crate) fn surplus_since(&self, id: &MachineId) -> Option<UnixMs> {
        self.excess.since(id)
    }

    /// The machine could not go although it is not needed: it is asked again as late as if it had
    /// become so now.
    pub(crate) fn put_off(&self, id: &MachineId) {
        self.excess.put_off(id, self.clock.now());
    }

    /// Whoever is not needed from now on is evaluated.
    fn surplus(&self, found: Option<MachineId>) {
        if let Some(id) = found {
            self.ready.push(&id, Lane::Now);
        }
    }

    /// The visitors of the machine are others than before: `is_edge` when that makes it busy, or ends
    /// its being so.
    pub(crate) fn visited(&self, id: &MachineId, is_edge: bool) {
        let is_left = self.proxy.visitors(id).is_some_and(|visitors| visitors.gone_at.is_some());
        if is_edge && is_left {
            self.signals.set_left(id, self.clock.now());
        }
        if self.signals.is_visited_news(id, is_edge) {
            self.ready.push(id, Lane::Now);
        }
        let press = |id: &MachineId| self.proxy.press(id);
        self.surplus(self.excess.pressed(id, self.clock.now(), press));
    }

    /// The machine is gone, or on its way.
    pub(crate) fn forget(&self, id: &MachineId) {
        self.wheel.set(id, None);
        self.readers.forget(id);
        self.beats.forget(id);
        self.signals.forget(id);
        self.excess.forget(id);
        self.herd.withdraw(id);
        self.ready.forget(id);
    }

    /// A turn for a wake by governance, to be held until the program runs or cannot. `None`: the
    /// machine waits in line, and is told to evaluate when its turn has come.
    pub(crate) fn turn(&self, id: &MachineId, app: &AppName) -> Option<Turn> {
        self.herd.turn(id, app)
    }

    /// The machine does not want to be woken by its governance any more: said when an evaluation ends
    /// without such a wish.
    pub(crate) fn no_turn(&self, id: &MachineId) {
        self.herd.withdraw(id);
    }

    /// Leave for the machine to rest, if `min` others of its app are up then; to be held until the
    /// rest is stored. What cannot be read counts as a no.
    pub(crate) fn rest_permit(
        &self,
        app: &AppName,
        min: u32,
        id: &MachineId,
    ) -> Option<RestPermit> {
        let up = |enough| self.store.read(|reader| directory::up(reader, app, enough));
        self.permits.ask(app, id, min, up).unwrap_or_else(|error| {
            tracing::error!(machine = %id, %error, "no leave to rest: who is up cannot be read");
            None
        })
    }

    /// The machines that `reads` names, as machines of `app` mean them, for `View::peers`.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) fn peers(&self, app: &AppName, reads: &Reads) -> Result<PeersNow, ControlError> {
        if reads.peers.is_empty() {
            return Ok(PeersNow::default());
        }
        Ok(self.store.read(|reader| PeersNow::read(self, reader, app, &reads.peers))?)
    }

    /// What is known of how busy the machine is, for `View`. How many machines of its app are up is
    /// looked up if `reads` says so.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) fn signals(
        &self,
        id: &MachineId,
        app: &AppName,
        reads: &Reads,
    ) -> Result<Measured, ControlError> {
        let app_running = if reads.app_running {
            Some(self.store.read(|reader| directory::n_up(reader, app))?)
        } else {
            None
        };
        let measured = Measured { app_running, ..self.signals.of(id) };
        Ok(measured.with_visitors(self.visitors(id)))
    }

    /// The visitors of the machine. The proxy knows of the last byte; whoever was there without a word
    /// has been there all the same.
    fn visitors(&self, id: &MachineId) -> Option<Visitors> {
        let visitors = self.proxy.visitors(id)?;
        let left_at = self.signals.left_at(id);
        let gone_at = visitors.gone_at.map(|at| left_at.map_or(at, |left| left.max(at)));
        Some(Visitors { gone_at, ..visitors })
    }
}

fn tell_to_evaluate(inner: &Arc<Inner>, id: &MachineId) -> Told {
    match inner.tell(id, Command::Evaluate) {
        Ok(()) => Told::Yes,
        Err(error) => {
            tracing::debug!(machine = %id, %error, "it is told to evaluate in a moment");
            Told::Busy
        }
    }
}

/// What the machine's run uses; `None` when it does not say so in time.
async fn usage_of(inner: Arc<Inner>, id: MachineId) -> Option<Usage> {
    let (reply, answer) = oneshot::channel();
    inner.tell(&id, Command::Usage { reply }).ok()?;
    tokio::time::timeout(USAGE_PATIENCE, answer).await.ok()?.ok()?.ok()
}

/// Where connections are listed; `None` on a kernel that cannot.
async fn open_flows(inner: &Arc<Inner>) -> Option<Arc<Flows>> {
    let router = Arc::clone(&inner.router);
    match tokio::task::spawn_blocking(move || Flows::open(&router)).await {
        Ok(Ok(flows)) => Some(Arc::new(flows)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "outbound connections are not seen: bytes on a link count instead");
            None
        }
        Err(panic) => {
            tracing::error!(%panic, "connections are not listed");
            None
        }
    }
}

/// All connections through the router; `None` when nobody can say.
async fn list(flows: Option<Arc<Flows>>) -> Option<Vec<Flow>> {
    let flows = flows?;
    let listed = tokio::task::spawn_blocking(move || flows.list()).await;
    match listed.ok()? {
        Ok(listed) => Some(listed),
        Err(error) => {
            tracing::warn!(%error, "connections could not be listed");
            None
        }
    }
}

#[cfg(test)]
mod tests;
