//! Tests of `readers`.

use super::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

fn id(n: u8) -> MachineId {
    MachineId::from_random([n; 7])
}

fn app(name: &str) -> AppName {
    name.parse().expect("a valid name")
}

/// Machines by app and name. Apps whose names begin with the same letter share a network.
#[derive(Debug, Default)]
struct World {
    machines: RefCell<BTreeMap<(String, String), MachineId>>,
    n_looks: RefCell<u32>,
}

impl World {
    fn put(&self, app: &str, name: &str, id: MachineId) {
        self.machines.borrow_mut().insert((app.to_owned(), name.to_owned()), id);
    }

    fn remove(&self, app: &str, name: &str) {
        self.machines.borrow_mut().remove(&(app.to_owned(), name.to_owned()));
    }
}

impl Directory for World {
    fn find(&self, app: &AppName, name: &str) -> Option<MachineId> {
        *self.n_looks.borrow_mut() += 1;
        let machines = self.machines.borrow();
        let seen = machines.iter().filter(|((other, _), _)| other[..1] == app.as_str()[..1]);
        let found: Vec<_> = seen
            .filter(|((_, n), id)| n == name || id.as_str() == name)
            .map(|(_, id)| id)
            .collect();
        let [only] = found.as_slice() else { return None };
        Some((*only).clone())
    }

    fn is_one_network(&self, app: &AppName, other: &AppName) -> bool {
        app.as_str()[..1] == other.as_str()[..1]
    }
}

fn reads(peers: &[&str]) -> Reads {
    Reads { peers: peers.iter().map(|name| (*name).to_owned()).collect(), ..Reads::default() }
}

fn heard(
    readers: &Readers,
    world: &World,
    id: &MachineId,
    place: (&str, &str),
    state: &'static str,
) -> Vec<MachineId> {
    let (app_name, name) = (app(place.0), place.1);
    let standing = Standing { id, app: &app_name, name, state };
    readers.heard(standing, world).into_iter().collect()
}

#[test]
fn who_reads_a_machine_hears_of_its_facts_and_states() {
    let (readers, world) = (Readers::default(), World::default());
    world.put("a", "db", id(1));
    readers.set(&id(2), &app("a"), &reads(&["db"]), &world);
    readers.set(&id(3), &app("a"), &reads(&[id(1).as_str()]), &world);
    readers.set(&id(4), &app("a"), &reads(&[]), &world);
    let mut of = readers.of(&id(1));
    of.sort();
    assert_eq!(of, [id(2), id(3)]);
    assert_eq!(heard(&readers, &world, &id(1), ("a", "db"), "started"), [id(2), id(3)]);
    assert_eq!(heard(&readers, &world, &id(1), ("a", "db"), "started"), [], "the same state");
    assert_eq!(heard(&readers, &world, &id(1), ("a", "db"), "stopping"), [id(2), id(3)]);
    assert_eq!(heard(&readers, &world, &id(4), ("a", "other"), "started"), [], "nobody reads it");
}

#[test]
fn only_who_counts_beats_hears_of_them() {
    let (readers, world) = (Readers::default(), World::default());
    world.put("a", "db", id(1));
    let ages = Reads { ages: ["db".to_owned()].into(), ..reads(&["db"]) };
    readers.set(&id(2), &app("a"), &ages, &world);
    readers.set(&id(3), &app("a"), &reads(&["db"]), &world);
    assert_eq!(readers.of_beats(&id(1)), [id(2)]);
}

#[test]
fn a_name_means_a_machine_that_is_created_later() {
    let (readers, world) = (Readers::default(), World::default());
    readers.set(&id(2), &app("a"), &reads(&["db"]), &world);
    assert_eq!(readers.of(&id(1)), []);
    world.put("a", "db", id(1));
    assert_eq!(heard(&readers, &world, &id(1), ("a", "db"), "created"), [id(2)]);
    assert_eq!(readers.of(&id(1)), [id(2)]);
}

#[test]
fn a_machine_that_is_gone_is_meant_no_more_and_its_heir_is() {
    let (readers, world) = (Readers::default(), World::default());
    world.put("a", "db", id(1));
    readers.set(&id(2), &app("a"), &reads(&["db"]), &world);
    world.remove("a", "db");
    assert_eq!(heard(&readers, &world, &id(1), ("a", "db"), "destroyed"), [id(2)]);
    assert_eq!(readers.of(&id(1)), []);
    world.put("a", "db", id(9));
    assert_eq!(heard(&readers, &world, &id(9), ("a", "db"), "created"), [id(2)]);
    assert_eq!(readers.of(&id(9)), [id(2)]);
}

#[test]
fn a_machine_with_another_name_is_not_the_one_that_was_meant() {
    let (readers, world) = (Readers::default(), World::default());
    world.put("a", "db", id(1));
    readers.set(&id(2), &app("a"), &reads(&["db"]), &world);
    world.remove("a", "db");
    world.put("a", "old-db", id(1));
    assert_eq!(heard(&readers, &world, &id(1), ("a", "old-db"), "started"), [id(2)]);
    assert_eq!(readers.of(&id(1)), []);
}

#[test]
fn machines_of_another_network_are_nobody() {
    let (readers, world) = (Readers::default(), World::default());
    readers.set(&id(2), &app("a"), &reads(&["db"]), &world);
    world.put("b", "db", id(1));
    assert_eq!(heard(&readers, &world, &id(1), ("b", "db"), "started"), []);
    assert_eq!(readers.of(&id(1)), []);
}

#[test]
fn a_name_that_two_other_apps_use_means_nobody() {
    let (readers, world) = (Readers::default(), World::default());
    world.put("ab", "db", id(1));
    readers.set(&id(2), &app("aa"), &reads(&["db"]), &world);
    assert_eq!(readers.of(&id(1)), [id(2)]);
    world.put("ac", "db", id(3));
    assert_eq!(heard(&readers, &world, &id(3), ("ac", "db"), "created"), [id(2)]);
    assert_eq!(readers.of(&id(1)), []);
}

#[test]
fn who_counts_the_machines_of_an_app_hears_of_all_of_them() {
    let (readers, world) = (Readers::default(), World::default());
    let counts = Reads { app_running: true, ..Reads::default() };
    readers.set(&id(2), &app("a"), &counts, &world);
    assert_eq!(heard(&readers, &world, &id(7), ("a", "any"), "started"), [id(2)]);
    assert_eq!(heard(&readers, &world, &id(2), ("a", "me"), "started"), [], "it knows itself");
    assert_eq!(heard(&readers, &world, &id(8), ("ab", "any"), "started"), [], "another app");
}

#[test]
fn what_is_not_read_any_more_is_not_heard_of() {
    let (readers, world) = (Readers::default(), World::default());
    world.put("a", "db", id(1));
    world.put("a", "web", id(5));
    readers.set(&id(2), &app("a"), &reads(&["db"]), &world);
    readers.set(&id(2), &app("a"), &reads(&["web"]), &world);
    assert_eq!(readers.of(&id(1)), []);
    assert_eq!(readers.of(&id(5)), [id(2)]);
    readers.forget(&id(2));
    assert_eq!(readers.of(&id(5)), []);
    let index = readers.lock();
    assert!(index.readers.is_empty() && index.of.is_empty() && index.by_name.is_empty());
}

#[test]
fn the_same_once_more_looks_nothing_up() {
    let (readers, world) = (Readers::default(), World::default());
    world.put("a", "db", id(1));
    for _ in 0..10 {
        readers.set(&id(2), &app("a"), &reads(&["db"]), &world);
        heard(&readers, &world, &id(1), ("a", "db"), "started");
        heard(&readers, &world, &id(6), ("a", "other"), "started");
    }
    assert_eq!(*world.n_looks.borrow(), 1);
}
