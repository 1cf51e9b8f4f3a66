//! What control is told without asking: how much machines have to do.

use super::{Book, LinkState};
use crate::load::{RunLoad, nothing};
use model::MachineId;
use proxy_proto::message::{DescribedMachine, Health};
use proxy_proto::{FromProxy, Load};
use std::time::Duration;
use tokio::time::Instant;

/// Pause between two reports about a machine that goes on being busy.
pub(crate) const BUSY_REPORT: Duration = Duration::from_secs(1);

/// How long a machine must have nothing to do before that is told: between two requests of one
/// visitor it is not idle in any sense that matters, and a message for each would cost more than
/// the request.
pub(crate) const IDLE_REPORT: Duration = Duration::from_millis(100);

/// Most messages that wait for control; a control that does not read is treated as away.
pub(crate) const OUTBOX_MAX: usize = 65_536;

impl Book {
    /// Changes the load of a run, if the machine is still in it; says whether it is.
    pub(super) fn change_load(
        &mut self,
        machine: &MachineId,
        run: &str,
        now: Instant,
        change: impl FnOnce(&mut RunLoad),
    ) -> bool {
        let Some(live) = self.live.get_mut(machine) else { return false };
        let Some(load) = live.run.as_mut().filter(|load| load.run == run) else { return false };
        change(load);
        let is_first = load.total() > 0 && live.told.as_ref().is_none_or(is_nothing);
        if !self.active.contains(machine) {
            self.note_load(machine);
        }
        if is_first {
            self.report(machine, now);
        }
        true
    }

    /// The load is to be told soon.
    pub(super) fn note_load(&mut self, machine: &MachineId) {
        self.active.insert(machine.clone());
        self.signals.is_active = true;
    }

    /// Tells control what has changed; to be called every [`IDLE_REPORT`] while it returns true.
    pub(crate) fn report_loads(&mut self, now: Instant) -> bool {
        for machine in self.active.clone() {
            let Some(load) = self.load_of(&machine) else {
                self.active.remove(&machine);
                continue;
            };
            let live = self.live(&machine);
            let is_told = live.told.as_ref() == Some(&load);
            let is_time = live.told_at.is_none_or(|at| now >= at + BUSY_REPORT);
            if is_nothing(&load) {
                self.active.remove(&machine);
            }
            if !is_told && (is_time || is_nothing(&load)) {
                self.report(&machine, now);
            }
        }
        !self.active.is_empty()
    }

    fn report(&mut self, machine: &MachineId, now: Instant) {
        if self.link != LinkState::Up {
            return;
        }
        if let Some(load) = self.load_of(machine) {
            let live = self.live(machine);
            live.told = Some(load.clone());
            live.told_at = Some(now);
            self.tell(FromProxy::Load(load));
        }
    }

    /// Tells a new control everything that it cannot know.
    pub(super) fn report_everything(&mut self) {
        let machines: Vec<MachineId> = self.live.keys().cloned().collect();
        let now = Instant::now();
        for machine in machines {
            let has_more = self.load_of(&machine).is_some_and(|load| load.last_at.is_some());
            if has_more {
                self.report(&machine, now);
            }
            let health = self.live(&machine).health.clone();
            for (check, (health, output)) in health {
                let (machine, at) = (machine.clone(), model::clock::now());
                self.tell(FromProxy::Checked { machine, check, health, output, at });
            }
        }
    }

    /// Whether control reads too slowly to be of use.
    pub(crate) fn is_outbox_full(&self) -> bool {
        self.outbox.len() > OUTBOX_MAX
    }

    /// What a machine has to do.
    pub(crate) fn load_of(&self, machine: &MachineId) -> Option<Load> {
        let live = self.live.get(machine)?;
        let route = self.table.machine(machine)?;
        let last_at = live.pulse.last();
        let Some(run) = &live.run else { return Some(nothing(machine, last_at)) };
        let is_over = |port: u16, soft: u32| run.of_service(port) > soft;
        let mut services = route.services.iter();
        Some(Load {
            is_over_soft: services.any(|s| is_over(s.internal_port, s.concurrency.soft_limit)),
            ..run.report(machine, last_at)
        })
    }

    /// All machines of an app, or all, as they are seen from here.
    pub(crate) fn describe(&self, app: Option<&str>, n_max: usize) -> (Vec<DescribedMachine>, u32) {
        let all = self.table.machines();
        let chosen: Vec<_> =
            all.iter().filter(|route| app.is_none_or(|app| route.app == app)).collect();
        let described = chosen.iter().take(n_max).map(|route| {
            let live = self.live.get(&route.machine);
            let health = live.into_iter().flat_map(|live| &live.health);
            let failing = health.filter(|(_, (health, _))| *health != Health::Passing);
            let load = self.load_of(&route.machine);
            DescribedMachine {
                route: (***route).clone(),
                load: load.unwrap_or_else(|| nothing(&route.machine, None)),
                failing: failing.map(|(name, _)| name.clone()).collect(),
                n_held: live.map_or(0, |live| live.n_waiting),
            }
        });
        let n_left_off = chosen.len().saturating_sub(n_max);
        (described.collect(), u32::try_from(n_left_off).unwrap_or(u32::MAX))
    }

    /// How many visitors are held.
    pub(crate) const fn n_held(&self) -> usize {
        self.n_held
    }
}

const fn is_nothing(load: &Load) -> bool {
    load.n_requests == 0 && load.n_connections == 0 && load.n_upgraded == 0
}
