//! What control sends: records and questions.

use super::{Book, LinkState, run_of};
use crate::load::{RunLoad, RunPhase, nothing};
use crate::table::apply::Changes;
use crate::turned::Turned;
use model::MachineId;
use proxy_proto::message::Health;
use proxy_proto::{AppRoute, FromProxy, MachineRoute, RouteState};
use tokio::time::Instant;

impl Book {
    /// Control hears us again and sends all its records now.
    pub(crate) fn link_up(&mut self) {
        self.link = LinkState::Up;
        self.outbox.clear();
        self.table.begin_resync();
        for live in self.live.values_mut() {
            // What the control before this one was about to do is not this one's intent.
            live.is_quiesced = false;
            live.told = None;
        }
        self.ask_anew();
        self.report_everything();
    }

    /// Control does not hear us.
    pub(crate) fn link_down(&mut self, now: Instant) {
        if self.link == LinkState::Up {
            self.link = LinkState::Down { since: now };
        }
        self.outbox.clear();
    }

    /// All records were sent.
    pub(crate) fn complete(&mut self, now: Instant) {
        let changes = self.table.complete();
        self.signals.is_complete = true;
        self.signals.is_doors |= !self.is_complete;
        self.is_complete = true;
        self.after(changes, now);
        // Quiesced machines are free again with the first records of a new control.
        let apps: Vec<String> = self.queues.keys().cloned().collect();
        for app in apps {
            self.settle(&app, now);
        }
    }

    /// A record of an app.
    pub(crate) fn apply_app(&mut self, app: AppRoute, now: Instant) {
        let changes = self.table.apply_app(app);
        self.after(changes, now);
    }

    /// A record of a machine.
    pub(crate) fn apply_machine(&mut self, route: MachineRoute, now: Instant) {
        let changes = self.table.apply_machine(route);
        self.after(changes, now);
    }

    /// The same, and those who wait are left to the caller.
    pub(super) fn apply_machine_quietly(&mut self, route: MachineRoute) {
        let changes = self.table.apply_machine(route);
        self.note(&changes);
    }

    /// An app is gone.
    pub(crate) fn remove_app(&mut self, app: &str, now: Instant) {
        let changes = self.table.remove_app(app);
        self.after(changes, now);
    }

    /// A machine is gone.
    pub(crate) fn remove_machine(&mut self, machine: &MachineId, now: Instant) {
        let app = self.table.machine(machine).map(|route| route.app.clone());
        let knock = self.end_knock(machine);
        self.refuse(machine, knock, &Turned::destroyed(), Some(u64::MAX));
        let changes = self.table.remove_machine(machine);
        self.after(changes, now);
        if let Some(app) = app {
            self.settle(&app, now);
        }
    }

    fn after(&mut self, changes: Changes, now: Instant) {
        self.note(&changes);
        for machine in &changes.machines {
            self.settle_machine(machine, now);
        }
    }

    /// Follows the changed records with runs, checks, doors and the file of records.
    fn note(&mut self, changes: &Changes) {
        for machine in &changes.machines {
            self.follow_run(machine);
        }
        self.signals.is_doors |= changes.is_doors || !changes.apps.is_empty();
        self.signals.is_records |= !changes.machines.is_empty() || !changes.apps.is_empty();
        self.signals.machines.extend(changes.machines.iter().cloned());
        self.signals.apps.extend(changes.apps.iter().cloned());
    }

    fn follow_run(&mut self, machine: &MachineId) {
        let Some(route) = self.table.machine(machine).cloned() else {
            self.end_knock(machine);
            self.active.remove(machine);
            if let Some(run) = self.live.remove(machine).and_then(|live| live.run) {
                run.tell(RunPhase::Ended);
            }
            return;
        };
        let live = self.live.entry(machine.clone()).or_default();
        match (&route.state, run_of(&route)) {
            (_, Some(run)) if live.run.as_ref().is_none_or(|load| load.run != run) => {
                let old = live.run.replace(RunLoad::new(run.to_owned()));
                live.health.clear();
                live.is_quiesced = false;
                if let Some(old) = old {
                    old.tell(RunPhase::Ended);
                }
                self.note_load(machine);
            }
            (RouteState::Asleep | RouteState::Unavailable, _) => {
                live.health.clear();
                if let Some(old) = live.run.take() {
                    old.tell(RunPhase::Ended);
                    self.note_load(machine);
                }
            }
            (RouteState::Up { .. } | RouteState::Moving, _) => {}
        }
        let is_open = run_of(&route).is_some() && !self.live(machine).is_quiesced;
        if is_open {
            self.end_resting(machine);
        }
    }

    /// Nothing new goes to the machine from now on, unless it must be idle for that and is not.
    pub(crate) fn quiesce(&mut self, ticket: u64, machine: &MachineId, only_if_idle: bool) {
        let load = self.load_of(machine);
        let is_idle = self
            .live
            .get(machine)
            .is_none_or(|live| live.run.as_ref().is_none_or(|run| run.total() == 0));
        if self.live.contains_key(machine) && (is_idle || !only_if_idle) {
            self.live(machine).is_quiesced = true;
        }
        let load = load.unwrap_or_else(|| nothing(machine, None));
        self.tell(FromProxy::Quiet { ticket, load });
    }

    /// The machine stays up.
    pub(crate) fn resume(&mut self, machine: &MachineId, now: Instant) {
        if let Some(live) = self.live.get_mut(machine) {
            live.is_quiesced = false;
            if let Some(run) = &live.run {
                run.tell(RunPhase::Up);
            }
            let is_up = self.table.machine(machine).is_some_and(|route| run_of(route).is_some());
            if is_up {
                self.end_resting(machine);
            }
            self.settle_machine(machine, now);
        }
    }

    /// The machine is about to end.
    pub(crate) fn drain(&self, machine: &MachineId) {
        if let Some(run) = self.live.get(machine).and_then(|live| live.run.as_ref()) {
            run.tell(RunPhase::Draining);
        }
    }

    /// The result of a check of a run that was begun at `since`; told to control when it has changed.
    pub(crate) fn checked(
        &mut self,
        machine: &MachineId,
        run: &str,
        check: &str,
        result: (Health, String),
        (since, now): (Instant, Instant),
    ) {
        let Some(live) = self.live.get_mut(machine) else { return };
        if live.run.as_ref().is_none_or(|load| load.run != run) {
            return;
        }
        let wake = live.wake.as_ref().filter(|wake| wake.run == run);
        if result.0 != Health::Passing && wake.is_some_and(|wake| since < wake.at) {
            // It was asked before it listened.
            return;
        }
        let before = live.health.insert(check.to_owned(), result.clone());
        let is_news = before.as_ref().map(|(health, _)| *health) != Some(result.0);
        if is_news {
            let (health, output) = result;
            let (machine, check, at) = (machine.clone(), check.to_owned(), model::clock::now());
            self.tell(FromProxy::Checked { machine: machine.clone(), check, health, output, at });
            self.settle_machine(&machine, now);
        }
    }
}
