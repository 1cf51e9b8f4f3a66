//! Visitors: what each asks for, and what it gets: a machine, a wait, or a refusal.
//!
//! Which of these is decided in [`decide`](super::decide); those who wait are in
//! [`queue`](super::queue).

use super::Book;
use super::decide::Decision;
use crate::load::{PlaceKind, Pulse, RunPhase};
use crate::turned::Turned;
use model::MachineId;
use model::spec::service::{Port, Service, Transport};
use proxy_proto::MachineRoute;
use proxy_proto::message::{KnockRequest, KnockTiming};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Most visitors that are held in all: each is a task with its buffers, a few KiB.
pub(crate) const HELD_MAX: usize = 10_000;

/// Most visitors that are held for one machine, or for free places of one app.
pub(crate) const HELD_PER_MACHINE_MAX: usize = 1_000;

/// What a visitor asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// The public port by which the visitor came in.
    pub(crate) port: u16,
    /// Whose machine.
    pub(crate) target: Target,
    /// Which machines are welcome.
    pub(crate) wishes: Wishes,
    /// The request, when it is one; then a request is counted, else a connection.
    pub(crate) request: Option<KnockRequest>,
    /// Longest wait.
    pub(crate) deadline: Instant,
}

/// Whose machine is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Of the app to which the name belongs (a port behind it does not matter).
    Host(String),
    /// Of this app.
    App(String),
    /// Of the app that owns the port.
    PortOwner,
    /// Of the app that owns the port for datagrams.
    DatagramOwner,
}

/// Which machines are welcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// Only this one, cordoned or not.
    pub(crate) force_instance: Option<MachineId>,
    /// This one if it can be had.
    pub(crate) prefer_instance: Option<MachineId>,
    /// Only in these; empty: anywhere.
    pub(crate) force_regions: Vec<String>,
    /// In the first of these where there is one, else anywhere.
    pub(crate) prefer_regions: Vec<String>,
    /// Not these.
    pub(crate) exclude: Vec<MachineId>,
}

/// A place in the load of a machine; to be given back with [`Book::give_back`].
#[derive(Debug)]
pub(crate) struct Grant {
    /// The machine.
    pub(crate) route: Arc<MachineRoute>,
    /// Its run.
    pub(crate) run: String,
    /// How the run goes on.
    pub(crate) phase: watch::Receiver<RunPhase>,
    /// The service.
    pub(crate) service: Arc<Service>,
    /// The port of the service.
    pub(crate) port: Arc<Port>,
    /// What it counts as.
    pub(crate) kind: PlaceKind,
    /// To be beaten with each byte.
    pub(crate) pulse: Pulse,
    /// How the run was woken, when the visitor waited for that.
    pub(crate) wake: Option<(String, KnockTiming)>,
}

/// What comes of asking.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A place.
    Granted(Box<Grant>),
    /// The answer will come; see [`Book::leave`].
    Held(Held),
    /// None.
    Turned(Turned),
}

/// A visitor that is held.
#[derive(Debug)]
pub(crate) struct Held {
    /// The app it waits for.
    pub(crate) app: String,
    /// Its number in the queue.
    pub(crate) number: u64,
    /// The answer.
    pub(crate) answer: oneshot::Receiver<Verdict>,
}

/// The answer to a visitor that was held.
pub(crate) type Verdict = Result<Box<Grant>, Turned>;

impl Ask {
    pub(super) const fn transport(&self) -> Transport {
        match self.target {
            Target::DatagramOwner => Transport::Udp,
            Target::Host(_) | Target::App(_) | Target::PortOwner => Transport::Tcp,
        }
    }

    const fn kind(&self) -> PlaceKind {
        match self.request {
            Some(_) => PlaceKind::Request,
            None => PlaceKind::Connection,
        }
    }
}

impl Book {
    /// A visitor asks for a machine.
    pub(crate) fn ask(&mut self, ask: &Ask, now: Instant) -> Asked {
        let Some(app) = self.app_of(ask) else { return Asked::Turned(Turned::no_app(ask.port)) };
        match self.decide(&app, ask, &HashMap::new(), now) {
            Decision::Go { machine, wake } => {
                self.wake_beside(wake, ask, now);
                match self.grant(ask, &machine, false, now) {
                    Some(grant) => Asked::Granted(Box::new(grant)),
                    None => Asked::Turned(Turned::nobody()),
                }
            }
            Decision::Turn(turned) => Asked::Turned(turned),
            Decision::Hold { machine } => self.hold(app, ask, Some(machine), now),
            Decision::Queue => self.hold(app, ask, None, now),
        }
    }

    /// A place is free again.
    pub(crate) fn give_back(&mut self, grant: &Grant, now: Instant) {
        let id = &grant.route.machine;
        let is_of_run = self.change_load(id, &grant.run, now, |load| {
            load.give_back(grant.service.internal_port, grant.kind);
        });
        if is_of_run {
            self.settle_one(&grant.route, grant.service.internal_port, now);
        }
    }

    /// A request has become a stream.
    pub(crate) fn upgrade(&mut self, grant: &mut Grant, now: Instant) {
        if grant.kind == PlaceKind::Request {
            grant.kind = PlaceKind::Upgraded;
            let (id, run) = (grant.route.machine.clone(), grant.run.clone());
            self.change_load(&id, &run, now, crate::load::RunLoad::upgrade);
        }
    }

    fn app_of(&self, ask: &Ask) -> Option<String> {
        let transport = ask.transport();
        let app = match &ask.target {
            Target::Host(host) => self.table.app_for_host(ask.port, host)?,
            Target::App(app) => app,
            Target::PortOwner | Target::DatagramOwner => {
                self.table.ports().owner(transport, ask.port)?
            }
        };
        let is_served = self.table.ports().is_served(transport, ask.port, app);
        is_served.then(|| app.to_owned())
    }

    fn hold(&mut self, app: String, ask: &Ask, on: Option<MachineId>, now: Instant) -> Asked {
        let n_alike = match &on {
            Some(machine) => self.live(machine).n_waiting as usize,
            None => self.n_held_of(&app),
        };
        if self.n_held >= HELD_MAX || n_alike >= HELD_PER_MACHINE_MAX {
            return Asked::Turned(Turned::hold_full());
        }
        Asked::Held(self.enqueue(app, ask, on, now))
    }

    /// Knocks on a machine beside the one that takes the visitor.
    pub(super) fn wake_beside(&mut self, wake: Option<MachineId>, ask: &Ask, now: Instant) {
        if let Some(machine) = wake.filter(|_| self.can_knock(now)) {
            self.knock(&machine, ask, now);
        }
    }

    /// A place for the visitor in the load of a machine that runs.
    pub(super) fn grant(
        &mut self,
        ask: &Ask,
        machine: &MachineId,
        is_woken: bool,
        now: Instant,
    ) -> Option<Grant> {
        let route = Arc::clone(self.table.machine(machine)?);
        let (service, port) = self.table.served_at(machine, ask.transport(), ask.port)?;
        let kind = ask.kind();
        let live = self.live.get_mut(machine)?;
        let (run, phase) = live.run.as_ref().map(|load| (load.run.clone(), load.phase()))?;
        let wake = live.wake.as_ref().filter(|wake| is_woken && wake.run == run);
        let wake = wake.map(|wake| (wake.decision.clone(), wake.timing));
        let pulse = live.pulse.clone();
        pulse.beat(model::clock::now());
        self.change_load(machine, &run, now, |load| {
            load.take(service.internal_port, kind);
        });
        Some(Grant { route, run, phase, service, port, kind, pulse, wake })
    }
}
