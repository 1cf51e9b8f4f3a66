//! How busy machines are, as far as the host sees without asking their programs.
//!
//! A machine is measured only while it is up and its rules read such a name. What was not measured
//! is unknown to rules, and neither starts nor stops anything.
//!
//! * `activity`: what the measurements of one machine say. `traffic`: with whom it speaks.

mod activity;
mod traffic;

use super::clock::Clock;
use super::reads::Reads;
use super::ready::{Lane, Ready};
use crate::proxy::Visitors;
use activity::Activity;
use govern::View;
use govern::view::Idle;
use model::{MachineId, UnixMs};
use net::MachineAddrs;
use net::router::Flow;
use shim_proto::message::Usage;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use traffic::Talks;

/// Time between two measurements of one machine.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// What is known of a machine now, for [`View`]. `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    /// Whether it is busy.
    pub idle: Option<Idle>,
    /// Commands that run in it at somebody's request.
    pub n_sessions: u32,
    /// When the last of them ended, if none runs.
    pub sessions_until: Option<UnixMs>,
    /// Requests under way.
    pub inflight: Option<u32>,
    /// Connections by the proxy.
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
}

impl Measured {
    /// As this, with what the proxy counts. Without a proxy nobody comes in, and nobody counts.
    pub(super) fn with_visitors(self, visitors: Option<Visitors>) -> Self {
        let Some(visitors) = visitors else { return self };
        let idle = match (self.idle, visitors.gone_at) {
            // Also when nothing else was measured: that alone says enough.
            (_, None) => Some(Idle::Busy),
            (Some(Idle::Since(since)), Some(gone)) => Some(Idle::Since(since.max(gone))),
            (idle, _) => idle,
        };
        Self {
            idle,
            inflight: Some(visitors.n_requests),
            conns_in: Some(visitors.n_connections),
            ..self
        }
    }

    /// The view with this in it.
    #[must_use]
    pub(crate) fn fill<'a>(self, view: View<'a>) -> View<'a> {
        View {
            idle: self.idle,
            n_sessions: self.n_sessions,
            inflight: self.inflight,
            conns_in: self.conns_in,
            conns_out: self.conns_out,
            conns_direct: self.conns_direct,
            net_idle_since: self.net_idle_since,
            cpu_1m: self.cpu_1m,
            app_running: self.app_running,
            ..view
        }
    }
}

/// What is measured of all machines.
#[derive(Debug, Default)]
pub(super) struct Signals {
    machines: Mutex<HashMap<MachineId, Watched>>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Watched {
    is_up: bool,
    /// Where it is reached, once it was up.
    addresses: Option<MachineAddrs>,
    /// When its last visitor left, if that was in this time up.
    left_at: Option<UnixMs>,
    /// Its rules read how busy it is.
    is_read: bool,
    /// Its rules, or its services, read who works in it.
    reads_sessions: bool,
    /// Its rules, or its services, read who visits it.
    reads_visitors: bool,
    /// Each change of that counts.
    counts_visitors: bool,
    /// Each change of its use of CPU counts.
    reads_cpu: bool,
    /// Each change of its outbound connections counts.
    reads_outbound: bool,
    activity: Activity,
}

impl Signals {
    /// From now on the machine's rules read this.
    pub(super) fn set_reads(&self, id: &MachineId, reads: &Reads) {
        self.change(id, |watched| {
            watched.is_read = reads.activity;
            watched.reads_cpu = reads.cpu;
            watched.reads_outbound = reads.outbound;
            watched.reads_sessions = reads.activity || reads.autostop;
            watched.reads_visitors = reads.activity || reads.visitors || reads.autostop;
            watched.counts_visitors = reads.visitors;
        });
    }

    /// The machine's program runs, or does not.
    pub(super) fn set_up(&self, id: &MachineId, is_up: bool, addresses: MachineAddrs) {
        self.change(id, |watched| {
            watched.addresses = Some(addresses);
            if watched.is_up != is_up {
                watched.is_up = is_up;
                watched.left_at = None;
                watched.activity.begin_anew();
            }
        });
    }

    /// So many commands run in the machine at somebody's request. Whether that makes it busy, or
    /// ends its being so, as far as its rules care.
    pub(super) fn set_sessions(&self, id: &MachineId, n: u32, now: UnixMs) -> bool {
        self.change(id, |watched| watched.activity.set_sessions(n, now) && watched.reads_sessions)
    }

    /// Its last visitor has left now.
    pub(super) fn set_left(&self, id: &MachineId, now: UnixMs) {
        if let Some(watched) = self.lock().get_mut(id) {
            watched.left_at = Some(now);
        }
    }

    /// When its last visitor left.
    pub(super) fn left_at(&self, id: &MachineId) -> Option<UnixMs> {
        self.lock().get(id)?.left_at
    }

    /// Whether a change of its visitors is something that its rules or services read.
    pub(super) fn is_visited_news(&self, id: &MachineId, is_edge: bool) -> bool {
        let machines = self.lock();
        let watched = machines.get(id);
        watched.is_some_and(|w| w.counts_visitors || (is_edge && w.reads_visitors))
    }

    /// What is known of the machine; what was never measured is unknown.
    pub(super) fn of(&self, id: &MachineId) -> Measured {
        let machines = self.lock();
        machines.get(id).map(|watched| watched.activity.signals()).unwrap_or_default()
    }

    /// The wall clock has jumped: how long something has lasted is not known any more.
    pub(super) fn clock_jumped(&self) {
        for watched in self.lock().values_mut() {
            watched.left_at = None;
            watched.activity.forget_times();
        }
    }

    pub(super) fn forget(&self, id: &MachineId) {
        self.lock().remove(id);
    }

    /// Measures those that are up and whose rules read it, for as long as control lives. With none
    /// of them there is no timer. `ask` asks one machine for its use, `look` lists all connections.
    pub(super) async fn measure_for_ever<F, L>(
        &self,
        clock: &Clock,
        ready: &Ready,
        ask: impl Fn(MachineId) -> F,
        look: impl Fn() -> L,
    ) where
        F: Future<Output = Option<Usage>> + Send + 'static,
        L: Future<Output = Option<Vec<Flow>>>,
    {
        loop {
            let measured = self.measured();
            if measured.is_empty() {
                self.rung.notified().await;
                continue;
            }
            let began = Instant::now();
            let asked: Vec<_> =
                measured.into_iter().map(|id| (id.clone(), tokio::spawn(ask(id)))).collect();
            let talks = look().await.map(|flows| Talks::of(&flows));
            for (id, answer) in asked {
                // A panic in there is a machine that did not answer.
                let usage = answer.await.unwrap_or(None);
                if self.took(&id, usage.as_ref(), talks.as_ref(), clock.now()) {
                    ready.push(&id, Lane::Now);
                }
            }
            tokio::time::sleep_until(began + EVERY).await;
        }
    }

    fn measured(&self) -> Vec<MachineId> {
        let machines = self.lock();
        let measured = machines.iter().filter(|(_, watched)| watched.is_measured());
        measured.map(|(id, _)| id.clone()).collect()
    }

    /// Takes a measurement; whether the machine must be evaluated because of it.
    fn took(
        &self,
        id: &MachineId,
        usage: Option<&Usage>,
        talks: Option<&Talks>,
        now: UnixMs,
    ) -> bool {
        let mut machines = self.lock();
        let Some(watched) = machines.get_mut(id).filter(|watched| watched.is_measured()) else {
            return false;
        };
        let before = watched.activity.signals();
        match usage {
            Some(usage) => {
                let own = talks.zip(watched.addresses.as_ref()).map(|(t, own)| t.with(own));
                watched.activity.measured(usage, own.as_deref(), now, Instant::now());
            }
            None => watched.activity.forget_times(),
        }
        watched.is_news(before)
    }

    fn change<T>(&self, id: &MachineId, change: impl FnOnce(&mut Watched) -> T) -> T {
        let mut machines = self.lock();
        let watched = machines.entry(id.clone()).or_default();
        let was_measured = watched.is_measured();
        let changed = change(watched);
        let is_measured = watched.is_measured();
        if watched.is_empty() {
            machines.remove(id);
        }
        drop(machines);
        if is_measured && !was_measured {
            self.rung.notify_one();
        }
        changed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MachineId, Watched>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn is_measured(&self) -> bool {
        self.is_up && self.is_read
    }

    fn is_empty(&self) -> bool {
        !self.is_up && !self.is_read && !self.reads_visitors && self.activity.n_sessions() == 0
    }

    /// Whether what is known now is more than time has made of what was known before.
    fn is_news(&self, before: Measured) -> bool {
        let now = self.activity.signals();
        let is_kind_changed = |a: Option<Idle>, b: Option<Idle>| {
            a.map(|idle| idle == Idle::Busy) != b.map(|idle| idle == Idle::Busy)
        };
        is_kind_changed(before.idle, now.idle)
            || self.activity.has_net_resumed()
            || before.net_idle_since.is_some() != now.net_idle_since.is_some()
            || (self.reads_cpu && before.cpu_1m != now.cpu_1m)
            || (self.reads_outbound && before.conns_out != now.conns_out)
    }
}

#[cfg(test)]
mod tests;
