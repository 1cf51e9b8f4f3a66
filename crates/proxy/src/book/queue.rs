//! Those who are held: a queue for each app, and how their waiting ends.
//!
//! A visitor waits for the knock on one machine, or for a free place. Whenever something changes it is
//! decided anew for each of its app, the oldest first; it leaves with a place, with a refusal, or
//! because it does not want to wait any longer.

use super::Book;
use super::decide::{Decision, is_welcome};
use super::hold::{Ask, Held, Verdict};
use crate::table::service_at;
use crate::turned::Turned;
use model::MachineId;
use proxy_proto::MachineRoute;
use std::collections::{BTreeMap, HashMap};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Most knocks that one visitor waits for: its machine may die under it twice.
const KNOCKS_PER_VISITOR_MAX: u32 = 3;

/// Visitors that are held for machines of one app, by number: the oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiters: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ask: Ask,
    answer: oneshot::Sender<Verdict>,
    /// The machine whose knock it waits for, and the knock's number.
    on: Option<(MachineId, u64)>,
    n_knocks: u32,
    refusals: HashMap<MachineId, Turned>,
    last_refusal: Option<Turned>,
}

impl Book {
    /// How many are held for machines of the app.
    pub(super) fn n_held_of(&self, app: &str) -> usize {
        self.queues.get(app).map_or(0, |queue| queue.waiters.len())
    }

    /// The visitor waits: for the machine's knock, or for a free place.
    pub(super) fn enqueue(
        &mut self,
        app: String,
        ask: &Ask,
        on: Option<MachineId>,
        now: Instant,
    ) -> Held {
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
        self.put(&app, number, waiter);
        Held { app, number, answer }
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
    pub(super) fn settle_one(&mut self, route: &MachineRoute, internal_port: u16, now: Instant) {
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
                    self.put(app, number, waiter);
                }
            }
            Decision::Queue => self.put(app, number, waiter),
        }
    }

    fn put(&mut self, app: &str, number: u64, waiter: Waiter) {
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
}
