//! A control that plays by a seed, with machines that start, stop, die and come back.
//!
//! A stop is spread over steps, as it is in the real one: the proxy is asked to let the machine go,
//! the stop is committed, the program ends; visitors arrive in between, and controls die.

use super::lock;
use crate::desk::Desk;
use crate::dice::Dice;
use crate::fixture::{id, limited, machine, port, ready, refused, up};
use model::MachineId;
use proxy_proto::{FromProxy, MachineRoute, RefusalScope, RouteState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Machines that always are there; one more is destroyed and made anew.
const N_LASTING: u32 = 3;

/// The number of the one that is not.
const FLEETING: u32 = 4;

/// Most visitors at a machine at a time.
pub(super) const HARD_LIMIT: u32 = 4;

/// What visitors and control know of each other.
#[derive(Default)]
pub(super) struct World {
    /// Runs to which visitors may be let through now.
    pub(super) open_runs: BTreeSet<String>,
    pub(super) n_served: usize,
    pub(super) n_turned: usize,
}

/// A stop on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The proxy has let the machine go, and nothing is stored.
    LetGo,
    /// It is stored.
    Committed,
}

pub(super) struct Control {
    pub(super) desk: Desk,
    pub(super) dice: Dice,
    pub(super) world: Arc<Mutex<World>>,
    pub(super) history: Vec<String>,
    /// Machines that are there, and how they are.
    states: BTreeMap<u32, RouteState>,
    stops: BTreeMap<u32, Stop>,
    asked: BTreeMap<u64, MachineId>,
    generation: u64,
    n_runs: u64,
    is_up: bool,
}

fn number(machine: &MachineId) -> u32 {
    u32::from_str_radix(machine.as_str(), 16).expect("hex")
}

impl Control {
    pub(super) fn new(seed: u64) -> Self {
        let mut control = Self {
            desk: Desk::new("local", seed),
            dice: Dice::new(seed),
            world: Arc::default(),
            history: vec![format!("seed {seed}")],
            states: (1..=FLEETING).map(|n| (n, RouteState::Asleep)).collect(),
            stops: BTreeMap::new(),
            asked: BTreeMap::new(),
            generation: 0,
            n_runs: 0,
            is_up: false,
        };
        control.link_up();
        control
    }

    /// Something happens.
    pub(super) fn step(&mut self) {
        match self.dice.below(16) {
            0..=4 if self.is_up => self.answer_one(false),
            5 => self.die(),
            6 if self.is_up => self.begin_stop(true),
            7 if self.is_up => self.begin_stop(false),
            8..=10 if self.is_up => self.go_on_stopping(),
            11 if self.is_up => self.start(),
            12 if self.is_up && self.dice.below(3) == 0 => self.link_down(),
            12 | 13 if !self.is_up => self.link_up(),
            14 => self.destroy_or_make(),
            _ => {}
        }
        self.listen();
    }

    /// Nothing bad happens any more: control comes back, and everything is finished.
    pub(super) fn calm_down(&mut self) {
        if !self.is_up {
            self.link_up();
        }
        self.finish_stops();
        self.answer_one(true);
    }

    /// The numbers of machines that are there.
    pub(super) fn machines(&self) -> Vec<u32> {
        self.states.keys().copied().collect()
    }

    /// Whether knocks wait for an answer.
    pub(super) fn owes_answers(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Takes in what the proxy says, and finds that it knocks on nobody twice.
    fn listen(&mut self) {
        for message in self.desk.with(|book, _now| book.take_outbox()) {
            if let FromProxy::Knock { ticket, machine, .. } = message {
                self.history.push(format!("knock {ticket} on {}", number(&machine)));
                let is_double = self.asked.values().any(|asked| *asked == machine);
                assert!(!is_double, "two knocks on {machine}\n{:#?}", self.history);
                self.asked.insert(ticket, machine);
            }
        }
    }

    fn link_up(&mut self) {
        self.history.push("control up".to_owned());
        self.is_up = true;
        self.asked.clear();
        self.desk.with(|book, _now| book.link_up());
        for n in self.machines() {
            self.publish(n);
        }
        self.desk.with(|book, now| book.complete(now));
        self.listen();
    }

    /// Control dies. What it has not stored has not happened, and the next one ends what it has.
    fn link_down(&mut self) {
        self.history.push("control down".to_owned());
        self.is_up = false;
        for (n, stop) in std::mem::take(&mut self.stops) {
            match stop {
                Stop::LetGo => self.open(n),
                Stop::Committed => self.set(n, RouteState::Asleep),
            }
        }
        self.desk.with(|book, now| book.link_down(now));
        self.desk.expect_control();
    }

    fn publish(&mut self, n: u32) {
        if self.is_up
            && let Some(route) = self.route(n)
        {
            self.desk.with(|book, now| book.apply_machine(route, now));
        }
    }

    fn route(&mut self, n: u32) -> Option<MachineRoute> {
        let state = self.states.get(&n)?.clone();
        self.generation += 1;
        let services = vec![limited(vec![port(80, &[])], 2, Some(HARD_LIMIT))];
        Some(MachineRoute { state, ..machine(n, "web", self.generation, services) })
    }

    /// The machine changes, whether control is there or not; then it is told.
    fn set(&mut self, n: u32, state: RouteState) {
        self.history.push(format!("{n} {state:?}"));
        self.shut(n);
        self.states.insert(n, state);
        self.open(n);
        self.publish(n);
    }

    /// Visitors may be let through to the machine, if it is up.
    fn open(&self, n: u32) {
        if let Some(RouteState::Up { run, .. }) = self.states.get(&n) {
            lock(&self.world).open_runs.insert(run.clone());
        }
    }

    /// Nobody may be let through to it any more.
    fn shut(&self, n: u32) {
        if let Some(RouteState::Up { run, .. }) = self.states.get(&n) {
            lock(&self.world).open_runs.remove(run);
        }
    }

    fn begin_run(&mut self, n: u32) {
        self.n_runs += 1;
        let run = format!("r{}", self.n_runs);
        self.set(n, up(&run));
    }

    /// One that is up and stays up, as far as anybody knows; any of them.
    fn one_up(&mut self) -> Option<u32> {
        let is_up = |n: &u32| matches!(self.states[n], RouteState::Up { .. });
        let machines = self.machines();
        let up: Vec<u32> =
            machines.into_iter().filter(|n| is_up(n) && !self.stops.contains_key(n)).collect();
        up.get(self.dice.below(up.len())).copied()
    }

    fn answer_one(&mut self, is_calm: bool) {
        self.listen();
        // A machine does one thing after the other: its knock waits for its stop.
        let mut open = self.asked.iter().filter(|(_, id)| !self.stops.contains_key(&number(id)));
        let Some((ticket, n)) = open.next().map(|(ticket, id)| (*ticket, number(id))) else {
            return;
        };
        self.asked.remove(&ticket);
        let outcome = match self.dice.below(10) {
            _ if !self.states.contains_key(&n) => {
                refused("machine_destroyed", RefusalScope::Machine, 100)
            }
            0 if !is_calm => refused("denied", RefusalScope::Machine, 100),
            1 if !is_calm => refused("lease_held", RefusalScope::Moment, 200),
            2 if !is_calm => refused("died_waking", RefusalScope::Wake, 100),
            _ => {
                if !matches!(self.states[&n], RouteState::Up { .. }) {
                    self.begin_run(n);
                }
                let route = self.route(n).expect("it is there");
                if !is_calm && self.dice.below(6) == 0 {
                    self.set(n, RouteState::Asleep);
                }
                ready(route)
            }
        };
        self.history.push(format!("answer {ticket}: {outcome:?}"));
        self.desk.with(|book, now| book.knocked(ticket, outcome, now));
    }

    /// A program ends by itself.
    fn die(&mut self) {
        if let Some(n) = self.one_up() {
            self.set(n, RouteState::Asleep);
        }
    }

    /// Somebody starts a machine, or it starts itself.
    fn start(&mut self) {
        let n = 1 + u32::try_from(self.dice.below(N_LASTING as usize)).expect("small");
        if self.states[&n] == RouteState::Asleep && !self.stops.contains_key(&n) {
            self.begin_run(n);
        }
    }

    /// A machine is to be stopped: because it is idle, or because its owner says so.
    fn begin_stop(&mut self, only_if_idle: bool) {
        let Some(n) = self.one_up() else { return };
        self.listen();
        self.desk.with(|book, _now| book.quiesce(7, &id(n), only_if_idle));
        let said = self.desk.with(|book, _now| book.take_outbox());
        let load = said.iter().find_map(|message| match message {
            FromProxy::Quiet { ticket: 7, load } => Some(load.n_connections + load.n_requests),
            _ => None,
        });
        let load = load.unwrap_or_else(|| panic!("no answer: {said:?}\n{:#?}", self.history));
        self.history.push(format!("quiesce {n}, only if idle: {only_if_idle}; load {load}"));
        if load == 0 || !only_if_idle {
            self.shut(n);
            self.stops.insert(n, Stop::LetGo);
        }
    }

    /// The stop that was begun first goes on, or is given up.
    fn go_on_stopping(&mut self) {
        let Some((n, stop)) = self.stops.pop_first() else { return };
        match stop {
            Stop::LetGo if self.dice.below(4) == 0 => {
                self.history.push(format!("resume {n}"));
                self.open(n);
                self.desk.with(|book, now| book.resume(&id(n), now));
            }
            Stop::LetGo => {
                self.desk.with(|book, _now| book.drain(&id(n)));
                self.set(n, RouteState::Moving);
                self.stops.insert(n, Stop::Committed);
            }
            Stop::Committed => self.set(n, RouteState::Asleep),
        }
    }

    fn finish_stops(&mut self) {
        while !self.stops.is_empty() {
            self.go_on_stopping();
        }
    }

    fn destroy_or_make(&mut self) {
        if !self.is_up || self.stops.contains_key(&FLEETING) {
            return;
        }
        if self.states.contains_key(&FLEETING) {
            self.history.push(format!("{FLEETING} destroyed"));
            self.shut(FLEETING);
            self.states.remove(&FLEETING);
            self.desk.with(|book, now| book.remove_machine(&id(FLEETING), now));
        } else {
            // Knocks on the one before, which nobody waits for any more.
            self.listen();
            self.asked.retain(|_, machine| number(machine) != FLEETING);
            self.set(FLEETING, RouteState::Asleep);
        }
    }
}
