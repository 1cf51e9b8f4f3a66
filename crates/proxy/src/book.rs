//! Everything that is decided, under one lock and without I/O: who gets which machine, who is held,
//! whom to knock on, what control is told.
//!
//! What comes in are visitors ([`hold`]), the answers to knocks ([`wake`]), and control's records
//! and questions ([`records`]). What goes out are answers to visitors that are held ([`queue`]),
//! messages to control ([`report`]) and [`Signals`] for the tasks around.
//!
//! Three things always hold: there is at most one knock on a machine; a visitor is either held or
//! answered; nobody is given a place in a run that is not the one of the machine's record.

mod decide;
pub(crate) mod hold;
mod queue;
pub(crate) mod records;
pub(crate) mod report;
pub(crate) mod wake;

#[cfg(test)]
mod tests;

use crate::dice::Dice;
use crate::load::{Pulse, RunLoad};
use crate::table::Table;
use model::MachineId;
use model::spec::service::Service;
use proxy_proto::message::Health;
use proxy_proto::{FromProxy, Load, MachineRoute, RouteState};
use queue::Queue;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio::time::Instant;
use wake::{Knock, Wake};

/// The state of the core; see the module.
#[derive(Debug)]
pub(crate) struct Book {
    /// The records.
    pub(crate) table: Table,
    live: HashMap<MachineId, Live>,
    queues: BTreeMap<String, Queue>,
    n_held: usize,
    tickets: HashMap<u64, MachineId>,
    next_id: u64,
    link: LinkState,
    outbox: Vec<FromProxy>,
    /// Machines whose load is to be told soon, and those that have something to do.
    active: BTreeSet<MachineId>,
    dice: Dice,
    signals: Signals,
    /// Control has sent all its records at least once.
    is_complete: bool,
}

/// What is known of a machine beside its record.
#[derive(Debug, Default)]
struct Live {
    run: Option<RunLoad>,
    pulse: Pulse,
    is_quiesced: bool,
    /// Results of the checks of this run.
    health: BTreeMap<String, (Health, String)>,
    knock: Option<Knock>,
    /// How the run was woken.
    wake: Option<Wake>,
    /// Visitors held for its knock.
    n_waiting: u32,
    told: Option<Load>,
    told_at: Option<Instant>,
}

/// Whether control hears us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    Up,
    Down { since: Instant },
}

/// What the tasks around have to do; taken with [`Book::take_signals`].
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// Something is to be sent to control.
    pub(crate) is_outbox: bool,
    /// Doors may have to be opened or closed.
    pub(crate) is_doors: bool,
    /// Records of these have changed, or they are gone.
    pub(crate) machines: Vec<MachineId>,
    /// Records have changed: they are to be written down.
    pub(crate) is_records: bool,
    /// Names that may stand for something else now: of these apps, besides [`Self::machines`].
    pub(crate) apps: Vec<String>,
    /// At once, because all of control's records have arrived.
    pub(crate) is_complete: bool,
    /// Some machine has something to do: loads are to be looked at from time to time.
    pub(crate) is_active: bool,
    /// Knocks to be repeated then: machine and number of the knock.
    pub(crate) knock_again: Vec<(MachineId, u64, Instant)>,
}

impl Book {
    /// Nothing is known, and control is away.
    pub(crate) fn new(now: Instant, seed: u64) -> Self {
        Self {
            table: Table::default(),
            live: HashMap::new(),
            queues: BTreeMap::new(),
            n_held: 0,
            tickets: HashMap::new(),
            next_id: 0,
            link: LinkState::Down { since: now },
            outbox: Vec::new(),
            active: BTreeSet::new(),
            dice: Dice::new(seed),
            signals: Signals::default(),
            is_complete: false,
        }
    }

    /// What the tasks around have to do since the last time.
    pub(crate) fn take_signals(&mut self) -> Signals {
        std::mem::take(&mut self.signals)
    }

    /// What control is to be told.
    pub(crate) fn take_outbox(&mut self) -> Vec<FromProxy> {
        std::mem::take(&mut self.outbox)
    }

    /// Whether control hears us.
    #[cfg(test)]
    pub(crate) fn hears_control(&self) -> bool {
        self.link == LinkState::Up
    }

    /// Whether control has sent all its records at least once.
    pub(crate) const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Tells control, if it hears us.
    pub(crate) fn tell(&mut self, message: FromProxy) {
        if self.link == LinkState::Up {
            self.outbox.push(message);
            self.signals.is_outbox = true;
        }
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// The run of a record.
fn run_of(route: &MachineRoute) -> Option<&str> {
    match &route.state {
        RouteState::Up { run, .. } => Some(run),
        RouteState::Asleep | RouteState::Moving | RouteState::Unavailable => None,
    }
}

/// Names of the checks that a visitor of the service waits for.
fn gates<'a>(route: &'a MachineRoute, service: &'a Service) -> impl Iterator<Item = &'a str> {
    let of_machine = route.checks.iter().filter(|check| check.gates_routing);
    of_machine.chain(&service.checks).map(|check| check.name.as_str())
}
