//! Knocks: at most one on each machine, whoever waits for it.

use super::{Book, LinkState, Live};
use crate::book::hold::Ask;
use crate::turned::Turned;
use model::MachineId;
use proxy_proto::message::{Health, KnockRequest, KnockTiming};
use proxy_proto::{FromProxy, KnockOutcome, MachineRoute, RefusalScope};
use std::time::Duration;
use tokio::time::Instant;

/// How long visitors are held for control to come back; a control that is replaced needs less.
pub(crate) const CONTROL_GRACE: Duration = Duration::from_secs(1);

/// Pause before a knock is repeated, when control does not say.
const REST_DEFAULT: Duration = Duration::from_secs(1);

/// Shortest pause, whatever control says.
const REST_MIN: Duration = Duration::from_millis(50);

/// Longest pause: a lease may be released long before it would have ended, and nobody tells.
const REST_MAX: Duration = Duration::from_secs(1);

/// A knock on a machine that was not answered for good yet.
#[derive(Debug)]
pub(super) struct Knock {
    /// Its number: the same from the first asking to the last.
    pub(super) number: u64,
    internal_port: u16,
    request: Option<KnockRequest>,
    is: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Control was asked, or will be when it is back.
    Asked { ticket: u64 },
    /// Control said: later.
    Resting,
}

/// How a run was woken.
#[derive(Debug)]
pub(super) struct Wake {
    pub(super) run: String,
    pub(super) decision: String,
    pub(super) timing: KnockTiming,
    /// When control said that it is ready.
    pub(super) at: Instant,
}

impl Knock {
    pub(super) const fn is_asked(&self) -> bool {
        matches!(self.is, Stage::Asked { .. })
    }
}

impl Book {
    pub(super) fn live(&mut self, machine: &MachineId) -> &mut Live {
        self.live.entry(machine.clone()).or_default()
    }

    /// Whether control hears knocks, or is likely to soon.
    pub(super) fn can_knock(&self, now: Instant) -> bool {
        match self.link {
            LinkState::Up => true,
            LinkState::Down { since } => now < since + CONTROL_GRACE,
        }
    }

    /// Knocks on the machine unless somebody has. Returns the knock's number.
    pub(super) fn knock(&mut self, machine: &MachineId, ask: &Ask, _now: Instant) -> u64 {
        if let Some(knock) = &self.live(machine).knock {
            return knock.number;
        }
        let service = self
            .table
            .machine(machine)
            .and_then(|route| crate::table::service_at(route, ask.transport(), ask.port));
        let internal_port = service.map_or(0, |(service, _)| service.internal_port);
        let number = self.next_id();
        let is = Stage::Asked { ticket: 0 };
        let request = ask.request.clone();
        self.live(machine).knock = Some(Knock { number, internal_port, request, is });
        self.ask_control(machine);
        number
    }

    /// Asks control with a new ticket.
    fn ask_control(&mut self, machine: &MachineId) {
        let ticket = self.next_id();
        let Some(knock) = self.live.get_mut(machine).and_then(|live| live.knock.as_mut()) else {
            return;
        };
        if let Stage::Asked { ticket: old } = knock.is {
            self.tickets.remove(&old);
        }
        knock.is = Stage::Asked { ticket };
        let message = FromProxy::Knock {
            ticket,
            machine: machine.clone(),
            internal_port: knock.internal_port,
            request: knock.request.clone(),
        };
        self.tickets.insert(ticket, machine.clone());
        self.tell(message);
    }

    /// Control's answer to a knock.
    pub(crate) fn knocked(&mut self, ticket: u64, outcome: KnockOutcome, now: Instant) {
        let Some(machine) = self.tickets.remove(&ticket) else { return };
        match outcome {
            KnockOutcome::Ready { route, decision, timing } => {
                self.ready(&machine, *route, decision, timing, now);
            }
            KnockOutcome::Refused { scope: RefusalScope::Moment, retry_after, .. } => {
                let pause = retry_after.map_or(REST_DEFAULT, model::DurationMs::to_std);
                self.rest(
                    &machine,
                    &Turned::refused(outcome),
                    now + pause.clamp(REST_MIN, REST_MAX),
                    now,
                );
            }
            KnockOutcome::Refused { scope, .. } => {
                let number = self.end_knock(&machine);
                // Who came while this wake was under way may knock anew.
                let last = if scope == RefusalScope::Wake { ticket } else { u64::MAX };
                self.refuse(&machine, number, &Turned::refused(outcome), Some(last));
                self.settle_machine(&machine, now);
            }
        }
    }

    fn ready(
        &mut self,
        machine: &MachineId,
        route: MachineRoute,
        decision: String,
        timing: KnockTiming,
        now: Instant,
    ) {
        self.end_knock(machine);
        if route.machine == *machine {
            let run = super::run_of(&route).map(str::to_owned);
            self.apply_machine_quietly(route);
            if let Some(run) = run {
                self.woken(machine, Wake { run, decision, timing, at: now });
            }
        }
        // Answered, so whatever it was quiesced for has not happened or is over.
        self.live(machine).is_quiesced = false;
        self.settle_machine(machine, now);
    }

    /// The program listens only now: what failed before says nothing about it.
    fn woken(&mut self, machine: &MachineId, wake: Wake) {
        let live = self.live(machine);
        if live.wake.as_ref().is_none_or(|known| known.run != wake.run) {
            live.health.retain(|_check, (health, _)| *health == Health::Passing);
        }
        live.wake = Some(wake);
    }

    /// Nobody waits: the knock ends. Else it is repeated at `until`.
    fn rest(&mut self, machine: &MachineId, why: &Turned, until: Instant, now: Instant) {
        let Some(knock) = self.live(machine).knock.as_mut() else { return };
        knock.is = Stage::Resting;
        let number = knock.number;
        self.refuse(machine, number, why, None);
        self.signals.knock_again.push((machine.clone(), number, until));
        self.settle_machine(machine, now);
    }

    /// The rest is over.
    pub(crate) fn knock_again(&mut self, machine: &MachineId, number: u64, now: Instant) {
        let Some(live) = self.live.get_mut(machine) else { return };
        let is_resting = live.knock.as_ref().is_some_and(|k| k.number == number && !k.is_asked());
        if !is_resting {
            return;
        }
        if live.n_waiting == 0 {
            live.knock = None;
            return;
        }
        self.ask_control(machine);
        self.settle_machine(machine, now);
    }

    /// There is no knock any more; returns its number.
    pub(super) fn end_knock(&mut self, machine: &MachineId) -> u64 {
        let Some(knock) = self.live.get_mut(machine).and_then(|live| live.knock.take()) else {
            return 0;
        };
        if let Stage::Asked { ticket } = knock.is {
            self.tickets.remove(&ticket);
        }
        knock.number
    }

    /// A knock that rests is over when the machine is up by itself, or gone.
    pub(super) fn end_resting(&mut self, machine: &MachineId) {
        let knock = self.live.get(machine).and_then(|live| live.knock.as_ref());
        if knock.is_some_and(|knock| !knock.is_asked()) {
            self.end_knock(machine);
        }
    }

    /// Asks a new control what the old one did not answer.
    pub(super) fn ask_anew(&mut self) {
        let asked = |live: &Live| live.knock.as_ref().is_some_and(Knock::is_asked);
        let waiting = self.live.iter().filter(|(_, live)| asked(live));
        let machines: Vec<MachineId> = waiting.map(|(id, _)| id.clone()).collect();
        for machine in machines {
            self.ask_control(&machine);
        }
    }

    /// Control has been away for longer than visitors are held for it.
    pub(crate) fn control_overdue(&mut self, now: Instant) {
        if self.can_knock(now) {
            return;
        }
        let knocked = self.live.iter().filter(|(_, live)| live.knock.is_some());
        let machines: Vec<MachineId> = knocked.map(|(id, _)| id.clone()).collect();
        for machine in &machines {
            self.end_knock(machine);
        }
        let apps: Vec<String> = self.queues.keys().cloned().collect();
        for app in apps {
            self.settle(&app, now);
        }
    }

    pub(super) fn settle_machine(&mut self, machine: &MachineId, now: Instant) {
        if let Some(app) = self.table.machine(machine).map(|route| route.app.clone()) {
            self.settle(&app, now);
        }
    }
}
