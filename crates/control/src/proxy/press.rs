//! How pressed a machine is: what its app's others are weighed against.

use super::Proxy;
use model::{MachineId, UnixMs};

/// How pressed a machine is by its visitors, at all proxies together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Press {
    /// Requests, connections and streams under way.
    pub(crate) n: u32,
    /// Above the soft limit of one of its services.
    pub(crate) is_over_soft: bool,
    /// Since when somebody counts.
    pub(crate) counted_since: UnixMs,
}

impl Proxy {
    /// How pressed the machine is; `None` when there is no proxy that could say.
    pub(crate) fn press(&self, machine: &MachineId) -> Option<Press> {
        let state = self.lock();
        let counted_since = state.sessions.values().next()?.since;
        let mut press = Press { n: 0, is_over_soft: false, counted_since };
        for load in state.sessions.values().filter_map(|session| session.loads.get(machine)) {
            press.n = press.n.saturating_add(load.n_requests.max(load.n_connections));
            press.is_over_soft |= load.is_over_soft;
        }
        Some(press)
    }
}
