//! What is told of all proxies, those that were replaced among them.

use super::{Proxy, Session, is_busy};
use model::MachineId;
use proxy_proto::message::{Description, Load};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Most machines that are told of a proxy that was replaced: as many as one tells of itself.
const MACHINES_MAX: usize = 1_000;

/// What is known of all proxies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proxies {
    /// What the one with the doors says.
    #[serde(flatten)]
    pub newest: Description,
    /// Those that still serve who came in by them before, the oldest first.
    #[serde(default)]
    pub replaced: Vec<Replaced>,
}

/// A proxy whose doors another one has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Its process.
    pub pid: u32,
    /// What machines have to do for its visitors; only those that have something.
    pub loads: Vec<Load>,
    /// Machines that did not fit into the answer.
    pub n_left_off: u32,
}

impl Proxy {
    /// What all proxies know, of one app or all; `None` when there is none, or the one with the doors
    /// does not answer. The others are not asked: what counts of them is known.
    pub(crate) async fn describe_all(&self, app: Option<String>) -> Option<Proxies> {
        let is_all = app.is_none();
        let newest = self.describe(app).await?;
        let of_app: HashSet<&MachineId> =
            newest.machines.iter().map(|m| &m.route.machine).collect();
        let is_meant = |load: &Load| is_busy(load) && (is_all || of_app.contains(&load.machine));
        let replaced = self.replaced(is_meant);
        Some(Proxies { newest, replaced })
    }

    fn replaced(&self, is_meant: impl Fn(&Load) -> bool) -> Vec<Replaced> {
        let state = self.lock();
        let n_replaced = state.sessions.len().saturating_sub(1);
        let replaced = state.by_age().take(n_replaced);
        let sessions = replaced.filter_map(|number| state.sessions.get(&number));
        sessions.map(|session| Replaced::of(session, &is_meant)).collect()
    }
}

impl Replaced {
    fn of(session: &Session, is_meant: impl Fn(&Load) -> bool) -> Self {
        let meant = session.loads.values().filter(|load| is_meant(load));
        let mut loads: Vec<Load> = meant.cloned().collect();
        loads.sort_by(|a, b| a.machine.cmp(&b.machine));
        let n_left_off = loads.len().saturating_sub(MACHINES_MAX);
        loads.truncate(MACHINES_MAX);
        let n_left_off = u32::try_from(n_left_off).unwrap_or(u32::MAX);
        Self { pid: session.of.pid, loads, n_left_off }
    }
}
