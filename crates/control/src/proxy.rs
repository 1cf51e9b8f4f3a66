//! What control tells the proxy, and what the proxy asks of control.
//!
//! The proxy keeps the doors: it lives on when control dies, works with the last good records, and
//! asks for what sleeps. Control keeps the truth: each committed step of a machine makes its record
//! dirty, and the newest one is read from the store when it is sent, so nothing is queued twice and
//! nothing is sent in the wrong order.
//!
//! While a proxy is replaced there are two of them for a while: one has the doors, the other still
//! serves who came in by it before. What a machine has to do is the sum of both, and a machine is
//! left alone when both say so. Checks are the newest one's.
//!
//! * `routes`: a record of the store as the proxy sees it.
//! * `records`: which of them are sent, and when they are read.
//! * `session`: one connection of a proxy, from `Hello` to its end.
//! * `knock`: a visitor wants a machine that is not up.
//! * `all`: what is told of all proxies.

mod all;
mod knock;
mod press;
mod records;
mod routes;
mod session;

#[cfg(test)]
mod tests;

use model::{MachineId, UnixMs};
use proxy_proto::message::{Description, Health, Load, ToProxy};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

pub use all::{Proxies, Replaced};
pub(crate) use press::Press;
pub use session::listen;
pub(crate) use session::serve_for_ever;

/// Name of the socket in the runtime directory that the proxy connects to.
pub const SOCKET_FILE: &str = "proxy.sock";

/// Longest wait for the proxies to let a machine go: they answer in a fraction of a millisecond, and
/// a proxy that hangs must not keep machines from being stopped.
const QUIET_MAX: Duration = Duration::from_millis(250);

/// Longest wait for what the proxy knows.
const DESCRIBE_MAX: Duration = Duration::from_secs(2);

/// Orders that may wait for one connection of the proxy. Records do not wait here.
const ORDERS_MAX: usize = 1_024;

/// Connections of proxies at a time: the one with the doors, and those that were replaced and still
/// serve somebody. Who replaces proxies faster than their visitors leave loses sight of the oldest.
const SESSIONS_MAX: usize = 8;

/// The proxies, as control sees them.
#[derive(Debug, Default)]
pub(crate) struct Proxy {
    state: Mutex<ProxyState>,
}

#[derive(Debug, Default)]
struct ProxyState {
    /// By number.
    sessions: BTreeMap<u64, Session>,
    next_number: u64,
    /// Machines that visitors are kept from, until their next record or [`Proxy::resume`].
    going: HashSet<MachineId>,
    /// When visitors of sessions that have ended were last seen.
    seen: HashMap<MachineId, UnixMs>,
    checks: HashMap<MachineId, BTreeMap<String, CheckResult>>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
struct Process {
    pid: u32,
    /// In milliseconds of the host's uptime. Of all processes the last one has the doors: after control
    /// was away, one that was replaced may connect after the one that replaced it.
    begun_ms: u64,
}

/// One connection of a proxy.
#[derive(Debug)]
struct Session {
    of: Process,
    orders: mpsc::Sender<ToProxy>,
    since: UnixMs,
    dirty: HashSet<MachineId>,
    dirty_apps: HashSet<String>,
    /// Rung when something is dirty, or the session is to end.
    rung: Arc<Notify>,
    /// Questions under way; they end with the session.
    quiets: HashMap<u64, oneshot::Sender<Load>>,
    descriptions: HashMap<u64, oneshot::Sender<Description>>,
    loads: HashMap<MachineId, Load>,
}

/// The last result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// How it is.
    pub health: Health,
    /// What was seen, in words.
    pub output: String,
    /// When it changed.
    pub at: UnixMs,
}

/// What comes of asking the proxies to let a machine go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quiet {
    /// Nothing new reaches it; what is under way goes on.
    Yes,
    /// It is busy, and stays in use as was asked for.
    Busy,
}

/// What is known of the visitors of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visitors {
    /// Requests under way.
    pub(crate) n_requests: u32,
    /// Open connections.
    pub(crate) n_connections: u32,
    /// Since when there have been none; `None` while there are some.
    pub(crate) gone_at: Option<UnixMs>,
}

impl Proxy {
    /// The machine has changed.
    pub(crate) fn changed(&self, machine: &MachineId) {
        let mut state = self.lock();
        state.going.remove(machine);
        for session in state.sessions.values_mut() {
            session.dirty.insert(machine.clone());
            session.rung.notify_one();
        }
    }

    /// The app has changed.
    pub(crate) fn app_changed(&self, app: &str) {
        for session in self.lock().sessions.values_mut() {
            session.dirty_apps.insert(app.to_owned());
            session.rung.notify_one();
        }
    }

    /// Asks all proxies to send nothing new to the machine, which is about to rest; with
    /// `only_if_idle` the machine stays in use if something is under way at any of them.
    ///
    /// One that dies meanwhile has nothing under way any more, and one that hangs is not waited for.
    pub(crate) async fn quiesce(&self, machine: &MachineId, only_if_idle: bool) -> Quiet {
        let asked = self.lock().ask_to_let_go(machine, only_if_idle);
        let deadline = Instant::now() + QUIET_MAX;
        let mut is_any_busy = false;
        for (session, ticket, answer) in asked {
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(answered) => is_any_busy |= answered.is_ok_and(|load| is_busy(&load)),
                Err(_elapsed) => self.lock().forget_question(session, ticket),
            }
        }
        if only_if_idle && is_any_busy {
            // Those that let it go take it back.
            self.resume(machine);
            return Quiet::Busy;
        }
        Quiet::Yes
    }

    /// The machine stays up after all.
    pub(crate) fn resume(&self, machine: &MachineId) {
        let mut state = self.lock();
        state.going.remove(machine);
        state.order(&ToProxy::Resume { machine: machine.clone() });
    }

    /// The program of the machine is told to end.
    pub(crate) fn drain(&self, machine: &MachineId) {
        self.lock().order(&ToProxy::Drain { machine: machine.clone() });
    }

    /// What the proxy with the doors knows; `None` when there is none, or it does not answer.
    pub(crate) async fn describe(&self, app: Option<String>) -> Option<Description> {
        let (session, ticket, answer) = {
            let mut state = self.lock();
            let ticket = state.next();
            let session = state.newest()?;
            let newest = state.sessions.get_mut(&session)?;
            newest.orders.try_send(ToProxy::Describe { ticket, app }).ok()?;
            let (tell, answer) = oneshot::channel();
            newest.descriptions.insert(ticket, tell);
            (session, ticket, answer)
        };
        let described = tokio::time::timeout(DESCRIBE_MAX, answer).await;
        if described.is_err() {
            self.lock().forget_question(session, ticket);
        }
        described.ok()?.ok()
    }

    /// The visitors of a machine, at all proxies; `None` when there is none to count them.
    pub(crate) fn visitors(&self, machine: &MachineId) -> Option<Visitors> {
        let state = self.lock();
        let counted_since = state.sessions.values().next()?.since;
        let mut visitors = Visitors { n_requests: 0, n_connections: 0, gone_at: None };
        let mut last_at = state.seen.get(machine).copied();
        for load in state.sessions.values().filter_map(|session| session.loads.get(machine)) {
            visitors.n_requests = visitors.n_requests.saturating_add(load.n_requests);
            visitors.n_connections = visitors.n_connections.saturating_add(load.n_connections);
            last_at = last_at.max(load.last_at);
        }
        if visitors.n_requests == 0 && visitors.n_connections == 0 {
            visitors.gone_at = Some(last_at.unwrap_or(counted_since));
        }
        Some(visitors)
    }

    /// The last results of the machine's checks, by name.
    pub(crate) fn checks(&self, machine: &MachineId) -> BTreeMap<String, CheckResult> {
        self.lock().checks.get(machine).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, ProxyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session that was asked, the number of the question, and its answer.
type Asked = (u64, u64, oneshot::Receiver<Load>);

impl ProxyState {
    fn next(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn ask_to_let_go(&mut self, machine: &MachineId, only_if_idle: bool) -> Vec<Asked> {
        self.going.insert(machine.clone());
        let mut asked = Vec::with_capacity(self.sessions.len());
        for (number, session) in &mut self.sessions {
            self.next_number += 1;
            let ticket = self.next_number;
            let order = ToProxy::Quiesce { ticket, machine: machine.clone(), only_if_idle };
            if session.orders.try_send(order).is_ok() {
                let (tell, answer) = oneshot::channel();
                session.quiets.insert(ticket, tell);
                asked.push((*number, ticket, answer));
            }
        }
        asked
    }

    /// An order that nobody waits for. One that finds no room says nothing new: the record of the
    /// machine follows and says the same.
    fn order(&self, order: &ToProxy) {
        for session in self.sessions.values() {
            drop(session.orders.try_send(order.clone()));
        }
    }

    fn forget_question(&mut self, session: u64, ticket: u64) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.quiets.remove(&ticket);
            session.descriptions.remove(&ticket);
        }
    }

    /// A session begins; every change is noted for it from now on.
    fn begin(
        &mut self,
        of: Process,
        orders: mpsc::Sender<ToProxy>,
        now: UnixMs,
    ) -> (u64, Arc<Notify>) {
        let number = self.next();
        let rung = Arc::new(Notify::new());
        let session = Session {
            of,
            orders,
            since: now,
            dirty: HashSet::new(),
            dirty_apps: HashSet::new(),
            rung: Arc::clone(&rung),
            quiets: HashMap::new(),
            descriptions: HashMap::new(),
            loads: HashMap::new(),
        };
        self.sessions.insert(number, session);
        (number, rung)
    }

    /// A session ends: its visitors are gone. Returns the machines that had some.
    fn end(&mut self, number: u64, now: UnixMs) -> Vec<MachineId> {
        let Some(session) = self.sessions.remove(&number) else { return Vec::new() };
        session.rung.notify_one();
        let mut visited = Vec::new();
        for (machine, load) in session.loads {
            let last_at = if is_busy(&load) { Some(now) } else { load.last_at };
            if let Some(at) = last_at {
                let seen = self.seen.entry(machine.clone()).or_insert(at);
                *seen = at.max(*seen);
            }
            if is_busy(&load) {
                visited.push(machine);
            }
        }
        visited
    }

    /// The session of the oldest process, if there are more than may be.
    fn one_too_many(&self) -> Option<u64> {
        let oldest = self.by_age().next();
        oldest.filter(|_| self.sessions.len() > SESSIONS_MAX)
    }

    /// The session of the proxy that has the doors.
    fn newest(&self) -> Option<u64> {
        self.by_age().next_back()
    }

    /// Numbers of all sessions, that of the oldest process first.
    fn by_age(&self) -> impl DoubleEndedIterator<Item = u64> + use<> {
        let sessions = self.sessions.iter();
        let mut by_age: Vec<_> = sessions.map(|(number, s)| (s.of.begun_ms, *number)).collect();
        by_age.sort_unstable();
        by_age.into_iter().map(|(_, number)| number)
    }

    /// What was said of a machine that is gone.
    fn forget(&mut self, machine: &MachineId) {
        for session in self.sessions.values_mut() {
            session.loads.remove(machine);
        }
        self.going.remove(machine);
        self.seen.remove(machine);
        self.checks.remove(machine);
    }
}

const fn is_busy(load: &Load) -> bool {
    load.n_requests > 0 || load.n_connections > 0
}
