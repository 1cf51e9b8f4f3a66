//! What the host knows of a machine besides its record, at one moment.
//!
//! What it does not know is `None`, and unknown to every rule.

use crate::evaluate::fitted;
use crate::verdict::Source;
use model::admit::LeaseHeld;
use model::spec::deepen::Deepen;
use model::{Depth, DurationMs, Machine, State, UnixMs};
use serde_json::Value as Json;
use std::fmt;

/// A machine as its host sees it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Its state.
    pub machine: &'a Machine,
    /// When its program started; counts while it is up.
    pub started_at: Option<UnixMs>,
    /// When it came to rest; counts while it rests.
    pub rested_at: Option<UnixMs>,
    /// A lease by somebody else.
    pub lease: Option<&'a LeaseHeld>,
    /// Its app needs it: a rest would leave too few machines up.
    pub no_rest_permit: bool,
    /// What its engine can do.
    pub can_freeze: bool,
    /// As above.
    pub can_suspend: bool,
    /// Whether it is busy.
    pub idle: Option<Idle>,
    /// Commands that run in it at somebody's request.
    pub n_sessions: u32,
    /// Requests under way.
    pub inflight: Option<u32>,
    /// Inbound connections.
    pub conns_in: Option<u32>,
    /// Outbound connections with bytes in the last minute.
    pub conns_out: Option<u32>,
    /// The same, begun by other machines and not by way of the proxy.
    pub conns_direct: Option<u32>,
    /// When the last byte passed its link.
    pub net_idle_since: Option<UnixMs>,
    /// CPUs in use, mean of the last minute.
    pub cpu_1m: Option<f64>,
    /// Machines of its app that are up.
    pub app_running: Option<u32>,
    /// The other machines of its network.
    pub peers: &'a dyn Peers,
    /// The request that would wake it.
    pub request: Option<Request<'a>>,
    /// What its services say about visitors who stay away; `None`: they do not care.
    pub autostop: Option<Autostop>,
    /// When it sleeps deeper, by a setting of its configuration.
    pub deepen: Option<Deepen>,
}

/// What the services of a machine say about visitors who stay away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Autostop {
    /// It rests when there have been none for so long.
    pub after: DurationMs,
    /// How deep.
    pub depth: Depth,
    /// Since when there have been none; `None` while there are some, or nobody knows.
    pub gone_at: Option<UnixMs>,
    /// Since when it has been the one machine of its app that visitors need least, and not at all.
    pub surplus_since: Option<UnixMs>,
}

/// A rest that something besides rules wants, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) source: Source,
    pub(crate) depth: Depth,
    pub(crate) at: UnixMs,
}

impl Autostop {
    /// When the machine is to rest, and why: for want of visitors, or because others are enough.
    pub(crate) fn dues(&self, started_at: Option<UnixMs>) -> impl Iterator<Item = Due> {
        let Self { after, depth, .. } = *self;
        let due = move |since: UnixMs, source| {
            let at = since.max(started_at.unwrap_or_default()).plus(after);
            Due { source, depth, at }
        };
        let idle = self.gone_at.map(|gone| due(gone, Source::Autostop(after.0)));
        let surplus = self.surplus_since.map(|since| due(since, Source::Excess(after.0)));
        idle.into_iter().chain(surplus)
    }
}

/// Whether a machine is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// It is.
    Busy,
    /// Not since then.
    Since(UnixMs),
}

/// A request that would wake a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `request.host`
    pub host: &'a str,
    /// `request.path`
    pub path: &'a str,
    /// `request.method`
    pub method: &'a str,
}

/// The other machines of a network.
pub trait Peers {
    /// The machine of this name or id.
    fn peer(&self, name: &str) -> Option<Peer<'_>>;
}

/// What a machine may see of another one.
#[derive(Clone, Copy)]
pub struct Peer<'a> {
    /// As `machine.state`.
    pub state: &'a str,
    /// Its last `beat`; its creation before the first one.
    pub beat_at: UnixMs,
    /// Its facts, without the secret ones.
    pub facts: &'a dyn PeerFacts,
}

/// The facts that a peer shows.
pub trait PeerFacts {
    /// The value of one, and until when it counts.
    fn fact(&self, key: &str) -> Option<(&Json, Option<UnixMs>)>;
    /// When it was written.
    fn written_at(&self, key: &str) -> Option<UnixMs>;
}

/// No other machines.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn peer(&self, _name: &str) -> Option<Peer<'_>> {
        None
    }
}

impl PeerFacts for crate::Selfhood {
    fn fact(&self, key: &str) -> Option<(&Json, Option<UnixMs>)> {
        let fact = self.facts.get(key).filter(|fact| !fact.secret)?;
        Some((&fact.value, fact.expires_at))
    }

    fn written_at(&self, key: &str) -> Option<UnixMs> {
        self.facts.get(key).map(|fact| fact.at)
    }
}

impl<'a> View<'a> {
    /// A machine of which nothing is known but its state.
    #[must_use]
    pub fn of(machine: &'a Machine) -> Self {
        Self {
            machine,
            started_at: None,
            rested_at: None,
            lease: None,
            no_rest_permit: false,
            can_freeze: false,
            can_suspend: false,
            idle: None,
            n_sessions: 0,
            inflight: None,
            conns_in: None,
            conns_out: None,
            conns_direct: None,
            net_idle_since: None,
            cpu_1m: None,
            app_running: None,
            peers: &NoPeers,
            request: None,
            autostop: None,
            deepen: None,
        }
    }

    /// The rests that its services want while it is up, and its age while it sleeps, and when.
    /// `rests_since` is when it began to fall asleep, if that was noted.
    pub(crate) fn dues(&self, rests_since: Option<UnixMs>) -> Vec<Due> {
        let autostop = self.autostop.filter(|_| self.is_up());
        let services = autostop.iter().flat_map(|autostop| autostop.dues(self.started_at));
        services.chain(self.ages(rests_since)).collect()
    }

    /// When it sleeps deeper than it does. What was frozen for want of room on the disk is to come up
    /// as soon as there is some, and does not age.
    fn ages(&self, rests_since: Option<UnixMs>) -> impl Iterator<Item = Due> {
        let sleep = match &self.machine.state {
            State::Suspended { depth, since, wake: None, .. } => Some((*depth, *since)),
            _ => None,
        };
        let aging = sleep.filter(|_| !self.machine.state.is_pressed()).zip(self.deepen);
        let (can_freeze, can_suspend) = (self.can_freeze, self.can_suspend);
        aging.into_iter().flat_map(move |((now_at, came_at), deepen)| {
            let since = rests_since.map_or(came_at, |began| began.min(came_at));
            deepen.steps().filter_map(move |(depth, after)| {
                let depth = fitted(depth, can_freeze, can_suspend);
                let due = Due { source: Source::Age(after.0), depth, at: since.plus(after) };
                (now_at < depth).then_some(due)
            })
        })
    }

    /// Whether its program runs.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.machine.state, State::Started { .. } | State::Resting { .. })
    }

    /// Whether it sleeps, or is about to.
    pub(crate) const fn is_resting(&self) -> bool {
        matches!(
            self.machine.state,
            State::Stopping { .. }
                | State::Stopped { .. }
                | State::Suspending { .. }
                | State::Suspended { .. }
        )
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.machine.state.api_name();
        f.debug_struct("View")
            .field("state", &state)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("state", &self.state).finish_non_exhaustive()
    }
}
