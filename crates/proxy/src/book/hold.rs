//! Visitors: each is given a machine, held, or turned away.

use super::{Book, Live, gates, run_of};
use crate::load::{PlaceKind, Pulse, RunPhase};
use crate::table::choose::{Availability, Candidate, Choice, choose};
use crate::table::service_at;
use crate::turned::Turned;
use model::MachineId;
use model::spec::service::{Port, Service, Transport};
use proxy_proto::message::{Health, KnockRequest, KnockTiming};
use proxy_proto::{MachineRoute, RouteState};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// Most visitors that are held in all: each is a task with its buffers, a few KiB.
pub(crate) const HELD_MAX: usize = 10_000;

/// Most visitors that are held for one machine, or for free places of one app.
pub(crate) const HELD_PER_MACHINE_MAX: usize = 1_000;

/// Most knocks that one visitor waits for: its machine may die under it twice.
pub(crate) const KNOCKS_PER_VISITOR_MAX: u32 = 3;

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

/// Visitors that are held for machines of one app, by number: the oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) waiters: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    ask: Ask,
    answer: oneshot::Sender<Verdict>,
    /// The machine whose knock it waits for, and the knock's number.
    pub(super) on: Option<(MachineId, u64)>,
    n_knocks: u32,
    refusals: HashMap<MachineId, Turned>,
    last_refusal: Option<Turned>,
}

enum Decision {
    Go { machine: MachineId, wake: Option<MachineId> },
    Hold { machine: MachineId },
    Queue,
    Turn(Turned),
}

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

    /// The visitor does not wait any longer. Returns what it would have been told if it had stayed;
    /// an answer that came meanwhile is the caller's to give back.
    pub(crate) fn leave(&mut self, app: &str, number: u64) -> Option<Turned> {
        let waiter = self.take_waiter(app, number)?;
        Some(match (waiter.last_refusal, waiter.on) {
            (Some(refusal), _) => refusal,
            (None, Some(_)) => Turned::wake_timeout(),
            (None, None) => Turned::overloaded(),
        })
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
            None => self.queues.get(&app).map_or(0, |queue| queue.waiters.len()),
        };
        if self.n_held >= HELD_MAX || n_alike >= HELD_PER_MACHINE_MAX {
            return Asked::Turned(Turned::hold_full());
        }
        let (tell, answer) = oneshot::channel();
        let number = self.next_id();
        let mut waiter = Waiter {
            ask: ask.clone(),
            answer: tell,
            on: None,
            n_knocks: 0,
            refusals: HashMap::new(),
            last_refusal: None,
        };
        if let Some(machine) = on {
            self.wait_for(&mut waiter, &machine, now);
        }
        self.queues.entry(app.clone()).or_default().waiters.insert(number, waiter);
        self.n_held += 1;
        Asked::Held(Held { app, number, answer })
    }

    /// The waiter waits for the machine's knock, which is made if there is none.
    fn wait_for(&mut self, waiter: &mut Waiter, machine: &MachineId, now: Instant) {
        let number = self.knock(machine, &waiter.ask, now);
        let on = (machine.clone(), number);
        if waiter.on.as_ref() == Some(&on) {
            return;
        }
        self.wait_no_more(waiter);
        self.live(machine).n_waiting += 1;
        waiter.on = Some(on);
        waiter.n_knocks += 1;
    }

    fn wait_no_more(&mut self, waiter: &mut Waiter) {
        if let Some((machine, _)) = waiter.on.take()
            && let Some(live) = self.live.get_mut(&machine)
        {
            live.n_waiting = live.n_waiting.saturating_sub(1);
        }
    }

    fn take_waiter(&mut self, app: &str, number: u64) -> Option<Waiter> {
        let queue = self.queues.get_mut(app)?;
        let mut waiter = queue.waiters.remove(&number)?;
        if queue.waiters.is_empty() {
            self.queues.remove(app);
        }
        self.n_held -= 1;
        let on = waiter.on.clone();
        self.wait_no_more(&mut waiter);
        waiter.on = on;
        Some(waiter)
    }

    /// Everybody held for the app is looked at again: something has changed.
    pub(super) fn settle(&mut self, app: &str, now: Instant) {
        for number in self.numbers(app) {
            self.look_at(app, number, now);
        }
    }

    /// A place at a service is free: the oldest that can use it gets it.
    fn settle_one(&mut self, route: &MachineRoute, internal_port: u16, now: Instant) {
        for number in self.numbers(&route.app) {
            let waiter = self.queues.get(&route.app).and_then(|queue| queue.waiters.get(&number));
            let can_use = waiter.is_some_and(|waiter| {
                is_welcome(&waiter.ask.wishes, route)
                    && service_at(route, waiter.ask.transport(), waiter.ask.port)
                        .is_some_and(|(service, _)| service.internal_port == internal_port)
            });
            if can_use {
                self.look_at(&route.app, number, now);
                return;
            }
        }
    }

    fn numbers(&self, app: &str) -> Vec<u64> {
        self.queues.get(app).map_or_else(Vec::new, |queue| queue.waiters.keys().copied().collect())
    }

    /// Decides anew for one that is held.
    fn look_at(&mut self, app: &str, number: u64, now: Instant) {
        let Some(mut waiter) = self.take_waiter(app, number) else { return };
        let waited_on = waiter.on.take();
        match self.decide(app, &waiter.ask, &waiter.refusals, now) {
            Decision::Go { machine, wake } => {
                self.wake_beside(wake, &waiter.ask, now);
                let is_woken = waited_on.is_some_and(|(on, _)| on == machine);
                let granted = self.grant(&waiter.ask, &machine, is_woken, now);
                let verdict = granted.map(Box::new).ok_or_else(Turned::nobody);
                self.answer(waiter, verdict, now);
            }
            Decision::Turn(turned) => {
                let refusal = waiter.last_refusal.clone();
                self.answer(waiter, Err(refusal.unwrap_or(turned)), now);
            }
            Decision::Hold { machine } => {
                let before = waited_on.as_ref().map(|(_, knock)| *knock);
                let n_knocks = waiter.n_knocks;
                self.wait_for(&mut waiter, &machine, now);
                let is_same = waiter.on.as_ref().map(|(_, knock)| *knock) == before;
                if is_same {
                    waiter.n_knocks = n_knocks;
                }
                if waiter.n_knocks > KNOCKS_PER_VISITOR_MAX {
                    self.wait_no_more(&mut waiter);
                    self.answer(waiter, Err(Turned::wake_failed(n_knocks)), now);
                } else {
                    self.put_back(app, number, waiter);
                }
            }
            Decision::Queue => self.put_back(app, number, waiter),
        }
    }

    fn put_back(&mut self, app: &str, number: u64, waiter: Waiter) {
        self.queues.entry(app.to_owned()).or_default().waiters.insert(number, waiter);
        self.n_held += 1;
    }

    fn answer(&mut self, waiter: Waiter, verdict: Verdict, now: Instant) {
        // A visitor leaves the queue under the lock before it stops listening, so nothing is lost;
        // still, a place that nobody takes is given back.
        if let Err(Ok(grant)) = waiter.answer.send(verdict) {
            self.give_back(&grant, now);
        }
    }

    /// The knock of a machine was refused: for good for visitors with numbers up to `last`, only for
    /// now for others.
    pub(super) fn refuse(
        &mut self,
        machine: &MachineId,
        knock: u64,
        why: &Turned,
        last: Option<u64>,
    ) {
        let Some(app) = self.table.machine(machine).map(|route| route.app.clone()) else { return };
        let Some(queue) = self.queues.get_mut(&app) else { return };
        let on = Some((machine.clone(), knock));
        for (number, waiter) in queue.waiters.iter_mut().filter(|(_, waiter)| waiter.on == on) {
            waiter.last_refusal = Some(why.clone());
            if last.is_some_and(|last| *number <= last) {
                waiter.refusals.insert(machine.clone(), why.clone());
            }
        }
    }

    fn wake_beside(&mut self, wake: Option<MachineId>, ask: &Ask, now: Instant) {
        if let Some(machine) = wake.filter(|_| self.can_knock(now)) {
            self.knock(&machine, ask, now);
        }
    }

    fn grant(
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

    fn decide(
        &mut self,
        app: &str,
        ask: &Ask,
        refusals: &HashMap<MachineId, Turned>,
        now: Instant,
    ) -> Decision {
        let (ids, candidates) = self.candidates(app, ask, refusals);
        let choice = self.choose_by_wishes(&ask.wishes, &ids, &candidates);
        let id = |idx: usize| ids[idx].machine.clone();
        match choice {
            Choice::Go { to, wake } => Decision::Go { machine: id(to), wake: wake.map(id) },
            Choice::Hold { on } if self.can_knock(now) => Decision::Hold { machine: id(on) },
            Choice::Hold { .. } => Decision::Turn(Turned::control_unavailable()),
            Choice::Queue => Decision::Queue,
            Choice::Nobody { is_sick: true } => Decision::Turn(Turned::unhealthy()),
            Choice::Nobody { .. } if !refusals.is_empty() => {
                Decision::Turn(refusals.values().next().cloned().unwrap_or_default())
            }
            Choice::Nobody { .. } if ids.is_empty() && ask.wishes.force_instance.is_some() => {
                Decision::Turn(Turned::no_such_machine())
            }
            Choice::Nobody { .. } => Decision::Turn(Turned::nobody()),
        }
    }

    /// First where the visitor would rather go, then anywhere.
    fn choose_by_wishes(
        &mut self,
        wishes: &Wishes,
        ids: &[Arc<MachineRoute>],
        candidates: &[Candidate],
    ) -> Choice {
        let only = |is_in: &dyn Fn(&MachineRoute) -> bool| -> Vec<Candidate> {
            let closed = |c: &Candidate| Candidate { is: Availability::Closed, ..*c };
            let each = ids.iter().zip(candidates);
            each.map(|(route, c)| if is_in(route) { *c } else { closed(c) }).collect()
        };
        let mut tiers = Vec::new();
        if let Some(machine) = &wishes.prefer_instance {
            tiers.push(only(&|route| route.machine == *machine));
        }
        for region in &wishes.prefer_regions {
            tiers.push(only(&|route| route.region == *region));
        }
        for tier in tiers {
            let choice = choose(&tier, &mut self.dice);
            if matches!(choice, Choice::Go { .. } | Choice::Hold { .. }) {
                return choice;
            }
        }
        choose(candidates, &mut self.dice)
    }

    fn candidates(
        &self,
        app: &str,
        ask: &Ask,
        refusals: &HashMap<MachineId, Turned>,
    ) -> (Vec<Arc<MachineRoute>>, Vec<Candidate>) {
        let welcome = self.table.machines_of(app).filter(|route| is_welcome(&ask.wishes, route));
        let able = welcome.filter_map(|route| {
            let (service, _) = service_at(route, ask.transport(), ask.port)?;
            let mut candidate = self.candidate(route, service);
            let is_refused = refusals.contains_key(&route.machine);
            if is_refused && candidate.is != Availability::Routable {
                candidate.is = Availability::Closed;
            }
            Some((Arc::clone(route), candidate))
        });
        able.unzip()
    }

    fn candidate(&self, route: &MachineRoute, service: &Service) -> Candidate {
        let live = self.live.get(&route.machine);
        let load = live.and_then(|live| live.run.as_ref());
        Candidate {
            is: availability(route, service, live),
            load: load.map_or(0, |load| load.of_service(service.internal_port)),
            soft_limit: service.concurrency.soft_limit,
            hard_limit: service.concurrency.hard_limit,
        }
    }
}

fn availability(route: &MachineRoute, service: &Service, live: Option<&Live>) -> Availability {
    let is_up = run_of(route).is_some();
    let is_quiesced = live.is_some_and(|live| live.is_quiesced);
    if let Some(knock) = live.and_then(|live| live.knock.as_ref())
        && (knock.is_asked() || !is_up || is_quiesced)
    {
        return Availability::Knocked { n_held: live.map_or(0, |live| live.n_waiting) };
    }
    match &route.state {
        RouteState::Up { .. } if is_quiesced => Availability::Sleeper,
        RouteState::Up { .. } => health(route, service, live),
        RouteState::Asleep if service.is_autostart => Availability::Sleeper,
        RouteState::Moving => Availability::Sleeper,
        RouteState::Asleep | RouteState::Unavailable => Availability::Closed,
    }
}

fn health(route: &MachineRoute, service: &Service, live: Option<&Live>) -> Availability {
    let of = |check: &str| live.and_then(|live| live.health.get(check)).map(|(health, _)| *health);
    let results: Vec<_> = gates(route, service).map(of).collect();
    if results.contains(&Some(Health::Critical)) {
        Availability::Sick
    } else if results.iter().all(|result| *result == Some(Health::Passing)) {
        Availability::Routable
    } else {
        Availability::Unsure
    }
}

fn is_welcome(wishes: &Wishes, route: &MachineRoute) -> bool {
    if wishes.exclude.contains(&route.machine) {
        return false;
    }
    if let Some(only) = &wishes.force_instance {
        return *only == route.machine;
    }
    let is_preferred = wishes.prefer_instance.as_ref() == Some(&route.machine);
    let is_in_region =
        wishes.force_regions.is_empty() || wishes.force_regions.contains(&route.region);
    is_in_region && (is_preferred || !route.is_cordoned)
}
