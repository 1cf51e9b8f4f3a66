//! What is to be done with a visitor, as things stand: from the records, the load, the checks, and
//! what was refused to it before.

use super::hold::{Ask, Wishes};
use super::{Book, Live, gates, run_of};
use crate::table::choose::{Availability, Candidate, Choice, choose};
use crate::table::service_at;
use crate::turned::Turned;
use model::MachineId;
use model::spec::service::Service;
use proxy_proto::message::Health;
use proxy_proto::{MachineRoute, RouteState};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// What is to be done with a visitor.
pub(super) enum Decision {
    /// It gets a place; another machine is woken because this one is busy.
    Go { machine: MachineId, wake: Option<MachineId> },
    /// It waits for the machine's knock.
    Hold { machine: MachineId },
    /// It waits for a free place, or for a check.
    Queue,
    /// It is told no.
    Turn(Turned),
}

impl Book {
    /// Decides about a visitor to whom `refusals` were given while it waited.
    pub(super) fn decide(
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

/// Whether the visitor would take the machine.
pub(super) fn is_welcome(wishes: &Wishes, route: &MachineRoute) -> bool {
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
