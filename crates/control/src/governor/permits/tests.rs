//! Tests of `permits`.

use super::*;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Barrier;

fn id(n: u8) -> MachineId {
    MachineId::from_random([n; 7])
}

fn app() -> AppName {
    "app".parse().expect("a valid name")
}

/// The store, as far as it matters here: who is up.
#[derive(Debug, Default)]
struct World {
    up: Mutex<BTreeMap<MachineId, bool>>,
}

impl World {
    fn of(n: u8) -> Self {
        Self { up: Mutex::new((0..n).map(|n| (id(n), true)).collect()) }
    }

    fn up(&self) -> Vec<MachineId> {
        let up = self.up.lock().unwrap();
        up.iter().filter(|(_, up)| **up).map(|(id, _)| id.clone()).collect()
    }

    fn store(&self, id: &MachineId, is_up: bool) {
        self.up.lock().unwrap().insert(id.clone(), is_up);
    }

    fn ask(&self, permits: &Arc<Permits>, id: &MachineId, min: u32) -> Option<RestPermit> {
        permits.ask(&app(), id, min, |_| Ok::<_, Infallible>(self.up())).expect("cannot fail")
    }
}

#[test]
fn one_of_two_may_rest() {
    let (world, permits) = (World::of(2), Arc::<Permits>::default());
    let first = world.ask(&permits, &id(0), 1).expect("the other one stays");
    assert!(world.ask(&permits, &id(1), 1).is_none(), "the first is leaving");
    world.store(&id(0), false);
    drop(first);
    assert!(world.ask(&permits, &id(1), 1).is_none(), "the first is gone");
}

#[test]
fn leave_that_is_not_used_is_given_back() {
    let (world, permits) = (World::of(2), Arc::<Permits>::default());
    drop(world.ask(&permits, &id(0), 1));
    assert!(world.ask(&permits, &id(1), 1).is_some());
}

#[test]
fn without_a_minimum_everybody_may_rest() {
    let (world, permits) = (World::of(3), Arc::<Permits>::default());
    let all: Vec<_> = (0..3).map(|n| world.ask(&permits, &id(n), 0)).collect();
    assert!(all.iter().all(Option::is_some));
}

#[test]
fn a_machine_has_one_leave() {
    let (world, permits) = (World::of(3), Arc::<Permits>::default());
    let permit = world.ask(&permits, &id(0), 1);
    assert!(permit.is_some());
    assert!(world.ask(&permits, &id(0), 1).is_none());
}

#[test]
fn apps_do_not_count_for_each_other() {
    let (world, permits) = (World::of(2), Arc::<Permits>::default());
    let other: AppName = "other".parse().expect("a valid name");
    let _first = world.ask(&permits, &id(0), 1).expect("the other one stays");
    let up = |_| Ok::<_, Infallible>(vec![id(7), id(8)]);
    assert!(permits.ask(&other, &id(7), 1, up).expect("cannot fail").is_some());
}

/// Threads rest and wake as they like; at every moment at least `min` machines are stored as up,
/// whatever comes between a permit and its rest.
#[test]
fn never_do_too_many_rest_however_they_race() {
    const MACHINES: u8 = 6;
    const ROUNDS: u32 = 3_000;
    for min in [1, 2, 3] {
        let world = World::of(MACHINES);
        let permits = Arc::<Permits>::default();
        let start = Barrier::new(usize::from(MACHINES));
        std::thread::scope(|scope| {
            for n in 0..MACHINES {
                let (world, permits, start) = (&world, &permits, &start);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..ROUNDS {
                        // Only a wake of its own makes it be up again, as only its task does.
                        world.store(&id(n), true);
                        if let Some(permit) = world.ask(permits, &id(n), min) {
                            // Some rests are given up.
                            if round % 7 != 0 {
                                let mut up = world.up.lock().unwrap();
                                up.insert(id(n), false);
                                let n_up = up.values().filter(|up| **up).count();
                                assert!(n_up >= min as usize, "{n_up} are up, of at least {min}");
                            }
                            drop(permit);
                        }
                    }
                });
            }
        });
    }
}

#[test]
fn after_a_crash_the_store_alone_decides() {
    for is_stored in [false, true] {
        let world = World::of(2);
        let before = Arc::<Permits>::default();
        let permit = world.ask(&before, &id(0), 1).expect("the other one stays");
        if is_stored {
            world.store(&id(0), false);
        }
        // Control is gone with what it knew.
        std::mem::forget(permit);
        let after = Arc::<Permits>::default();
        let second = world.ask(&after, &id(1), 1);
        assert_eq!(second.is_none(), is_stored, "what was not stored did not happen");
    }
}
