//! Connections to programs that wait for the next request.
//!
//! Only for services that count requests; who counts connections gets one for each request. A
//! connection belongs to one run of one machine and to the thread that drives it: it is never used
//! for another run, nor by another thread.

use super::tape::TapedBody;
use hyper::client::conn::{http1, http2};
use model::MachineId;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::Duration;
use tokio::time::Instant;

/// How long an unused connection is kept. Source: machines-api 4.2.
const REST_MAX: Duration = Duration::from_secs(4);

/// Pause between two looks for those that have rested long enough.
const REAP_EVERY: Duration = Duration::from_secs(1);

/// Most resting connections to one port of a machine.
const RESTING_PER_KEY_MAX: usize = 256;

/// Most resting connections.
const RESTING_MAX: usize = 4096;

/// Resting connections that are looked at in search of a ready one: with many visitors most of the
/// last are not.
const LOOKS_MAX: usize = 4;

/// How long a connection may take to be ready again after its last answer.
const READY_WAIT: Duration = Duration::from_millis(2);

/// To whom a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Machine.
    pub(crate) machine: MachineId,
    /// Its run.
    pub(crate) run: String,
    /// Port inside it.
    pub(crate) port: u16,
    /// It speaks h2.
    pub(crate) is_h2: bool,
    /// The thread that drives it: used by another, each request would wake both.
    pub(crate) thread: ThreadId,
}

/// An end of a connection into which requests go.
#[derive(Debug)]
pub(crate) enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<TapedBody>),
    /// Many.
    Http2(http2::SendRequest<TapedBody>),
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    async fn ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    resting: Arc<Mutex<Resting>>,
}

#[derive(Debug, Default)]
struct Resting {
    by_key: HashMap<Key, VecDeque<Rest>>,
    n_all: usize,
    has_reaper: bool,
}

#[derive(Debug)]
struct Rest {
    sender: Sender,
    since: Instant,
}

impl Pool {
    fn resting(&self) -> MutexGuard<'_, Resting> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is ready, if one rests.
    pub(crate) async fn take(&self, key: &Key) -> Option<Sender> {
        let mut sender = self.resting().take(key)?;
        if sender.is_ready() {
            return Some(sender);
        }
        let is_ready = tokio::time::timeout(READY_WAIT, sender.ready()).await;
        matches!(is_ready, Ok(true)).then_some(sender)
    }

    /// Lets a connection rest. Must be called within a runtime.
    pub(crate) fn put(&self, key: Key, sender: Sender) {
        let mut resting = self.resting();
        if sender.is_closed() || !resting.put(key, sender) || resting.has_reaper {
            return;
        }
        resting.has_reaper = true;
        tokio::spawn(reap(Arc::downgrade(&self.resting)));
    }
}

impl Resting {
    fn take(&mut self, key: &Key) -> Option<Sender> {
        let rests = self.by_key.get_mut(key)?;
        let n_before = rests.len();
        let taken = take_from(rests);
        self.n_all -= n_before - rests.len();
        taken
    }

    fn put(&mut self, key: Key, sender: Sender) -> bool {
        let is_full = self.n_all >= RESTING_MAX;
        let rests = self.by_key.entry(key).or_default();
        if let (Sender::Http2(_), Some(rest)) = (&sender, rests.back_mut()) {
            rest.since = Instant::now();
            if rest.sender.is_closed() {
                rest.sender = sender;
            }
            return true;
        }
        if is_full || rests.len() >= RESTING_PER_KEY_MAX {
            return false;
        }
        rests.push_back(Rest { sender, since: Instant::now() });
        self.n_all += 1;
        true
    }

    fn reap(&mut self) {
        self.by_key.retain(|_key, rests| {
            rests.retain(|rest| !rest.sender.is_closed() && rest.since.elapsed() < REST_MAX);
            !rests.is_empty()
        });
        self.n_all = self.by_key.values().map(VecDeque::len).sum();
    }
}

/// One of the last, if it is ready: the program is less likely to have closed those. Else the first,
/// which has had the most time to become so.
fn take_from(rests: &mut VecDeque<Rest>) -> Option<Sender> {
    for idx in (0..rests.len()).rev().take(LOOKS_MAX) {
        match &rests[idx].sender {
            sender if sender.is_closed() => drop(rests.remove(idx)),
            Sender::Http2(sender) => return Some(Sender::Http2(sender.clone())),
            sender if sender.is_ready() => return rests.remove(idx).map(|rest| rest.sender),
            Sender::Http1(_) => {}
        }
    }
    while let Some(rest) = rests.pop_front() {
        if !rest.sender.is_closed() {
            return Some(rest.sender);
        }
    }
    None
}

/// Ends connections that rest for too long, as long as there are any.
async fn reap(resting: Weak<Mutex<Resting>>) {
    loop {
        tokio::time::sleep(REAP_EVERY).await;
        let Some(resting) = resting.upgrade() else { return };
        let mut resting = resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.reap();
        if resting.by_key.is_empty() {
            resting.has_reaper = false;
            return;
        }
    }
}
