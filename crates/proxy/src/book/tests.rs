//! The book, without any I/O.

use super::Book;
use super::hold::{Ask, Asked, Grant, Held, Target, Verdict, Wishes};
use crate::fixture::{id, limited, machine, port, ready, refused, up};
use crate::load::RunPhase;
use model::spec::service::Service;
use proxy_proto::message::Health;
use proxy_proto::{FromProxy, Load, MachineRoute, RefusalScope, RouteState};
use std::time::Duration;
use tokio::time::Instant;

const APP: &str = "web";

/// A book whose control hears it, with machines 1 to n that sleep.
struct World {
    book: Book,
    now: Instant,
    generation: u64,
    services: Vec<Service>,
}

impl World {
    fn new(n: u32, soft: u32, hard: Option<u32>) -> Self {
        let now = Instant::now();
        let services = vec![limited(vec![port(80, &[])], soft, hard)];
        let mut world = Self { book: Book::new(now, 1), now, generation: 0, services };
        world.book.link_up();
        for n in 1..=n {
            world.set(n, RouteState::Asleep);
        }
        world.book.complete(now);
        world
    }

    /// From now on records have a check that gates.
    fn gate_with_check(&mut self) {
        let check = serde_json::json!({
            "name": "alive", "probe": { "type": "tcp" }, "port": 8080, "interval": 1000,
            "timeout": 1000, "grace_period": 0, "gates_routing": true,
        });
        self.services[0].checks.push(serde_json::from_value(check).expect("a check"));
    }

    fn route(&mut self, n: u32, state: RouteState) -> MachineRoute {
        self.generation += 1;
        MachineRoute { state, ..machine(n, APP, self.generation, self.services.clone()) }
    }

    fn set(&mut self, n: u32, state: RouteState) {
        let route = self.route(n, state);
        self.book.apply_machine(route, self.now);
    }

    fn ask_with(&mut self, wishes: Wishes) -> Asked {
        let ask = Ask {
            port: 80,
            target: Target::PortOwner,
            wishes,
            request: None,
            deadline: self.now + Duration::from_secs(60),
        };
        self.book.ask(&ask, self.now)
    }

    #[track_caller]
    fn granted(&mut self) -> Box<Grant> {
        match self.ask_with(Wishes::default()) {
            Asked::Granted(grant) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    #[track_caller]
    fn held(&mut self) -> Held {
        match self.ask_with(Wishes::default()) {
            Asked::Held(held) => held,
            other => panic!("not held: {other:?}"),
        }
    }

    #[track_caller]
    fn turned(&mut self) -> String {
        match self.ask_with(Wishes::default()) {
            Asked::Turned(turned) => turned.code,
            other => panic!("not turned: {other:?}"),
        }
    }

    /// Tickets and machines of new knocks.
    fn knocks(&mut self) -> Vec<(u64, u32)> {
        let of = |message| match message {
            FromProxy::Knock { ticket, machine, .. } => {
                Some((ticket, u32::from_str_radix(machine.as_str(), 16).expect("hex")))
            }
            _ => None,
        };
        self.book.take_outbox().into_iter().filter_map(of).collect()
    }

    fn loads(&mut self) -> Vec<Load> {
        let of = |message| match message {
            FromProxy::Load(load) => Some(load),
            _ => None,
        };
        self.book.take_outbox().into_iter().filter_map(of).collect()
    }

    fn ready(&mut self, ticket: u64, n: u32, run: &str) {
        let route = self.route(n, up(run));
        self.book.knocked(ticket, ready(route), self.now);
    }
}

fn answer(held: &mut Held) -> Option<Verdict> {
    held.answer.try_recv().ok()
}

#[test]
fn many_visitors_share_one_knock_and_are_all_let_in() {
    let mut world = World::new(1, 20, None);
    let mut held: Vec<Held> = (0..200).map(|_| world.held()).collect();
    let knocks = world.knocks();
    assert_eq!(knocks.len(), 1);
    world.ready(knocks[0].0, 1, "r1");
    for held in &mut held {
        let grant = answer(held).expect("answered").expect("let in");
        assert_eq!(grant.run, "r1");
        assert!(grant.wake.is_some(), "it is told how it was woken");
    }
    assert_eq!(world.book.n_held(), 0);
    assert!(world.granted().wake.is_none(), "who comes later was not held");
    assert!(world.knocks().is_empty());
}

#[test]
fn who_goes_away_frees_its_place() {
    let mut world = World::new(1, 20, Some(1));
    let first = world.held();
    let mut second = world.held();
    assert!(world.book.leave(&first.app, first.number).is_some());
    let ticket = world.knocks()[0].0;
    world.ready(ticket, 1, "r1");
    assert!(answer(&mut second).expect("answered").is_ok());
    assert_eq!(world.book.n_held(), 0);
}

#[test]
fn at_the_hard_limit_visitors_queue_in_order() {
    let mut world = World::new(1, 1, Some(1));
    world.set(1, up("r1"));
    let only = world.granted();
    let (mut second, mut third) = (world.held(), world.held());
    world.book.give_back(&only, world.now);
    let grant = answer(&mut second).expect("answered").expect("let in");
    assert!(answer(&mut third).is_none());
    world.book.give_back(&grant, world.now);
    assert!(answer(&mut third).expect("answered").is_ok());
}

#[test]
fn above_the_soft_limit_one_more_is_woken_and_nobody_held() {
    let mut world = World::new(3, 1, Some(5));
    world.set(1, up("r1"));
    let _first = world.granted();
    assert!(world.knocks().is_empty());
    let _second = world.granted();
    assert_eq!(world.knocks().iter().map(|knock| knock.1).collect::<Vec<_>>(), [2]);
    let _third = world.granted();
    assert!(world.knocks().is_empty(), "one at a time");
}

#[test]
fn a_refusal_reaches_all_who_wait_and_the_next_knocks_anew() {
    let mut world = World::new(1, 20, None);
    let mut held = world.held();
    let ticket = world.knocks()[0].0;
    world.book.knocked(ticket, refused("denied", RefusalScope::Machine, 5_000), world.now);
    let turned = answer(&mut held).expect("answered").expect_err("refused");
    assert_eq!((turned.code.as_str(), turned.status), ("denied", 503));
    assert_eq!(turned.retry_after, Some(Duration::from_secs(5)));
    let _next = world.held();
    assert_eq!(world.knocks().len(), 1);
}

#[test]
fn a_refusal_of_one_machine_tries_the_next() {
    let mut world = World::new(2, 20, None);
    let mut held = world.held();
    let ticket = world.knocks()[0].0;
    world.book.knocked(ticket, refused("denied", RefusalScope::Machine, 5_000), world.now);
    assert!(answer(&mut held).is_none());
    let knocks = world.knocks();
    assert_eq!(knocks[0].1, 2);
    world.ready(knocks[0].0, 2, "r1");
    assert!(answer(&mut held).expect("answered").is_ok());
}

#[test]
fn a_lease_is_waited_for_and_knocked_on_again() {
    let mut world = World::new(1, 20, None);
    let mut held = world.held();
    let ticket = world.knocks()[0].0;
    world.book.take_signals();
    world.book.knocked(ticket, refused("lease_held", RefusalScope::Moment, 500), world.now);
    let again = world.book.take_signals().knock_again;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].2, world.now + Duration::from_millis(500));
    let mut later = world.held();
    assert!(world.knocks().is_empty(), "it rests");
    world.book.knock_again(&again[0].0, again[0].1, again[0].2);
    let ticket = world.knocks()[0].0;
    world.ready(ticket, 1, "r1");
    assert!(answer(&mut held).expect("answered").is_ok());
    assert!(answer(&mut later).expect("answered").is_ok());
}

#[test]
fn whose_time_ends_under_a_lease_is_told_of_the_lease() {
    let mut world = World::new(1, 20, None);
    let held = world.held();
    let ticket = world.knocks()[0].0;
    world.book.knocked(ticket, refused("lease_held", RefusalScope::Moment, 500), world.now);
    let turned = world.book.leave(&held.app, held.number).expect("it was held");
    assert_eq!(turned.code, "lease_held");
}

#[test]
fn a_machine_that_dies_thrice_turns_its_visitor_away() {
    let mut world = World::new(1, 20, None);
    let mut held = world.held();
    for round in 0..3 {
        assert!(answer(&mut held).is_none(), "round {round}");
        let ticket = world.knocks()[0].0;
        // The record that it has died already arrived before the answer.
        let old = world.route(1, up("dead"));
        world.set(1, RouteState::Asleep);
        world.book.knocked(ticket, ready(old), world.now);
    }
    assert_eq!(answer(&mut held).expect("answered").expect_err("dead").code, "wake_failed");
}

#[test]
fn a_quiesced_machine_gets_nobody_and_a_knock_says_whether_it_stays() {
    let mut world = World::new(1, 20, None);
    world.set(1, up("r1"));
    let grant = world.granted();
    world.book.quiesce(1, &id(1), true);
    let busy = world.granted();
    world.book.give_back(&grant, world.now);
    world.book.give_back(&busy, world.now);
    world.book.quiesce(2, &id(1), true);
    let quiets: Vec<u32> = world
        .book
        .take_outbox()
        .into_iter()
        .filter_map(|message| match message {
            FromProxy::Quiet { load, .. } => Some(load.n_connections),
            _ => None,
        })
        .collect();
    assert_eq!(quiets, [1, 0]);
    let mut held = world.held();
    let ticket = world.knocks()[0].0;
    world.set(1, RouteState::Moving);
    world.set(1, RouteState::Asleep);
    world.set(1, up("r2"));
    assert!(answer(&mut held).is_none(), "the port may not listen yet");
    world.ready(ticket, 1, "r2");
    assert_eq!(answer(&mut held).expect("answered").expect("let in").run, "r2");
}

#[test]
fn resume_lets_in_who_would_have_knocked() {
    let mut world = World::new(1, 20, None);
    world.set(1, up("r1"));
    world.book.quiesce(1, &id(1), false);
    let mut held = world.held();
    world.book.resume(&id(1), world.now);
    assert!(answer(&mut held).is_none(), "its knock is under way, and control answers it");
    let ticket = world.knocks()[0].0;
    world.ready(ticket, 1, "r1");
    assert!(answer(&mut held).expect("answered").is_ok());
}

#[test]
fn without_control_visitors_of_sleepers_wait_a_moment_only() {
    let mut world = World::new(2, 20, None);
    world.set(1, up("r1"));
    world.book.link_down(world.now);
    let _served = world.granted();
    world.set(1, RouteState::Asleep);
    let mut held = world.held();
    world.now += super::wake::CONTROL_GRACE;
    world.book.control_overdue(world.now);
    assert_eq!(answer(&mut held).expect("answered").expect_err("away").code, "control_unavailable");
    assert_eq!(world.turned(), "control_unavailable");
}

#[test]
fn a_new_control_is_asked_what_the_old_one_did_not_answer() {
    let mut world = World::new(1, 20, None);
    let mut held = world.held();
    let old = world.knocks()[0].0;
    world.book.link_down(world.now);
    world.book.link_up();
    let knocks = world.knocks();
    assert_eq!(knocks.len(), 1);
    world.set(1, RouteState::Asleep);
    world.book.complete(world.now);
    let late = world.route(1, up("r0"));
    world.book.knocked(old, ready(late), world.now);
    assert!(answer(&mut held).is_none(), "an answer to a question of before");
    world.ready(knocks[0].0, 1, "r1");
    assert_eq!(answer(&mut held).expect("answered").expect("let in").run, "r1");
}

#[test]
fn checks_gate_and_a_new_run_waits_for_them() {
    let mut world = World::new(1, 20, None);
    world.gate_with_check();
    world.set(1, up("r1"));
    let mut held = world.held();
    let checked = |world: &mut World, run: &str, health| {
        let times = (world.now, world.now);
        world.book.checked(&id(1), run, "alive", (health, String::new()), times);
    };
    checked(&mut world, "r0", Health::Passing);
    assert!(answer(&mut held).is_none(), "of another run");
    checked(&mut world, "r1", Health::Passing);
    assert!(answer(&mut held).expect("answered").is_ok());
    checked(&mut world, "r1", Health::Critical);
    assert_eq!(world.turned(), "no_healthy_machine");
}

#[test]
fn what_failed_before_the_program_listened_turns_nobody_away() {
    let mut world = World::new(1, 20, None);
    world.gate_with_check();
    let mut held = world.held();
    let ticket = world.knocks()[0].0;
    let before = world.now;
    let checked = |world: &mut World, health, since| {
        let times = (since, world.now);
        world.book.checked(&id(1), "r1", "alive", (health, String::new()), times);
    };
    world.set(1, up("r1"));
    checked(&mut world, Health::Critical, before);
    world.now += Duration::from_millis(10);
    world.ready(ticket, 1, "r1");
    assert!(answer(&mut held).is_none(), "it waits for a check");
    checked(&mut world, Health::Critical, before);
    assert!(answer(&mut held).is_none(), "this one was under way when it began to listen");
    let now = world.now;
    checked(&mut world, Health::Passing, now);
    assert!(answer(&mut held).expect("answered").is_ok());
    checked(&mut world, Health::Critical, now);
    assert_eq!(world.turned(), "no_healthy_machine");
}

#[test]
fn holds_are_bounded() {
    let mut world = World::new(1, 20, None);
    let held: Vec<Held> = (0..super::hold::HELD_PER_MACHINE_MAX).map(|_| world.held()).collect();
    assert_eq!(world.turned(), "hold_full");
    world.book.leave(&held[0].app, held[0].number);
    let _held = world.held();
}

#[test]
fn runs_end_for_those_who_hold_places() {
    let mut world = World::new(1, 20, None);
    world.set(1, up("r1"));
    let grant = world.granted();
    world.book.drain(&id(1));
    assert_eq!(*grant.phase.borrow(), RunPhase::Draining);
    world.set(1, RouteState::Moving);
    assert_eq!(*grant.phase.borrow(), RunPhase::Draining);
    world.set(1, RouteState::Asleep);
    assert_eq!(*grant.phase.borrow(), RunPhase::Ended);
    world.set(1, up("r2"));
    world.book.give_back(&grant, world.now);
    assert_eq!(world.book.load_of(&id(1)).expect("known").n_connections, 0);
}

#[test]
fn wishes_bind() {
    let mut world = World::new(3, 20, None);
    world.set(1, up("r1"));
    world.set(2, up("r2"));
    let wish = |n| Wishes { force_instance: Some(id(n)), ..Wishes::default() };
    let Asked::Granted(grant) = world.ask_with(wish(2)) else { panic!("not granted") };
    assert_eq!(grant.route.machine, id(2));
    let Asked::Turned(turned) = world.ask_with(wish(9)) else { panic!("not turned") };
    assert_eq!(turned.code, "machine_not_routed");
    let Asked::Held(_) = world.ask_with(wish(3)) else { panic!("not held") };
    let prefer = Wishes { prefer_instance: Some(id(9)), exclude: vec![id(1)], ..Wishes::default() };
    let Asked::Granted(grant) = world.ask_with(prefer) else { panic!("not granted") };
    assert_eq!(grant.route.machine, id(2));
}

#[test]
fn loads_are_told_at_once_and_then_once_in_a_while() {
    let mut world = World::new(1, 1, None);
    world.set(1, up("r1"));
    world.book.take_outbox();
    let first = world.granted();
    assert_eq!(world.loads().len(), 1);
    let second = world.granted();
    assert!(world.loads().is_empty());
    world.now += super::report::BUSY_REPORT;
    assert!(world.book.report_loads(world.now));
    let loads = world.loads();
    assert_eq!((loads.len(), loads[0].n_connections, loads[0].is_over_soft), (1, 2, true));
    world.book.give_back(&first, world.now);
    world.book.give_back(&second, world.now);
    assert!(!world.book.report_loads(world.now), "nothing to watch");
    assert_eq!(world.loads()[0].n_connections, 0);
}
