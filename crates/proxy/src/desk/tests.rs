//! Visitors and a control that plays by a seed: knocks, deaths, stops, leases, new controls.

mod control;

use super::{Ask, Desk, RunPhase, Target, Wishes};
use crate::book::Book;
use crate::fixture::id;
use control::{Control, HARD_LIMIT, World};
use model::cause::KnockRequest;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const N_SEEDS: u64 = 300;
const N_STEPS: usize = 200;

/// Longer than any round: whoever meets it was forgotten.
const BUDGET: Duration = Duration::from_secs(3_600);

/// Answers that a visitor may get in a world where controls and machines die.
const HONEST: [&str; 5] =
    ["wake_failed", "control_unavailable", "denied", "died_waking", "machine_destroyed"];

/// A visitor arrives; it stays for a while, and some go away before they are answered.
fn visitor(control: &mut Control) -> JoinHandle<()> {
    let (desk, world) = (control.desk.clone(), Arc::clone(&control.world));
    let stays = Duration::from_millis(control.dice.throw() % 50);
    let is_request = control.dice.below(2) == 0;
    let request = is_request.then(|| KnockRequest {
        host: "web.localhost".to_owned(),
        path: "/".to_owned(),
        method: "GET".to_owned(),
    });
    tokio::spawn(async move {
        let deadline = Instant::now() + BUDGET;
        let (target, wishes) = (Target::PortOwner, Wishes::default());
        let ask = Ask { port: 80, target, wishes, request, deadline };
        match desk.admit(&ask).await {
            Ok(admitted) => {
                let is_over = *admitted.place.phase().borrow() != RunPhase::Up;
                served(&desk, &world, &admitted.run, is_over);
                tokio::time::sleep(stays).await;
            }
            Err(turned) => {
                assert!(HONEST.contains(&turned.code.as_str()), "{turned:?}");
                lock(&world).n_turned += 1;
            }
        }
    })
}

/// Nobody is let through to a run that is not the one of its machine, unless that has just ended.
fn served(desk: &Desk, world: &Mutex<World>, run: &str, is_over: bool) {
    let mut world = lock(world);
    // When control is away its records are late, as they are for everybody.
    let is_known = desk.read(|book| book.hears_control());
    let is_open = world.open_runs.contains(run);
    assert!(is_over || is_open || !is_known, "wrong run {run}");
    world.n_served += 1;
}

/// A visitor that found something wrong has said so; the others go on.
fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_bounds(control: &Control, n_visitors: usize) {
    let n_held = control.desk.read(Book::n_held);
    assert!(n_held <= n_visitors, "{n_held} of {n_visitors} are held\n{:#?}", control.history);
    for n in control.machines() {
        let load = control.desk.read(|book| book.load_of(&id(n)));
        let n_there = load.map_or(0, |load| load.n_connections + load.n_requests);
        assert!(n_there <= HARD_LIMIT, "{n_there} at {n}\n{:#?}", control.history);
    }
}

/// From now on nothing bad happens: everybody is answered, and nothing is left.
async fn end(control: &mut Control, visitors: Vec<JoinHandle<()>>) {
    for _ in 0..1_000 {
        control.calm_down();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for visitor in visitors {
        assert!(visitor.is_finished(), "a visitor was forgotten\n{:#?}", control.history);
        if let Err(error) = visitor.await {
            assert!(error.is_cancelled(), "{error}\n{:#?}", control.history);
        }
    }
    assert!(!control.owes_answers(), "{:#?}", control.history);
    check_bounds(control, 0);
    for n in control.machines() {
        let load = control.desk.read(|book| book.load_of(&id(n))).expect("known");
        assert_eq!(load.n_connections + load.n_requests, 0, "{:#?}", control.history);
    }
}

#[tokio::test(start_paused = true)]
async fn no_visitor_is_lost_whatever_happens_in_between() {
    let (mut n_served, mut n_turned) = (0, 0);
    for seed in 0..N_SEEDS {
        let mut control = Control::new(seed);
        let mut visitors: Vec<JoinHandle<()>> = Vec::new();
        for _ in 0..N_STEPS {
            match control.dice.below(6) {
                0 | 1 => visitors.push(visitor(&mut control)),
                2..=4 => {
                    control.step();
                    // Who was let through by that is on its way before the next thing happens.
                    tokio::task::yield_now().await;
                }
                _ => {
                    let pause = control.dice.throw() % 20;
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
            if control.dice.below(20) == 0 && !visitors.is_empty() {
                let idx = control.dice.below(visitors.len());
                visitors[idx].abort();
            }
            check_bounds(&control, visitors.len());
        }
        end(&mut control, visitors).await;
        let world = lock(&control.world);
        n_served += world.n_served;
        n_turned += world.n_turned;
    }
    assert!(n_served > 3 * n_turned, "most are served: {n_served}, turned: {n_turned}");
}
