//! Machine-years in seconds: the pure core under a daemon that crashes, clocks that jump, disks that
//! fill, shims that get lost and hosts that reboot.
//!
//! The seed is printed; `DORMOUSE_SEED=<n>` replays its history.

mod chance;
mod checks;
mod shell;
mod visitors;
mod world;

use chance::Chance;
use shell::Sim;
use std::hash::{BuildHasher, RandomState};

/// Machine-hours of one test run. Source: design, section 9.
const MACHINE_HOURS: u64 = 120_000;

/// Longest life of one machine, in hours.
const LIFE_HOURS: u64 = 500;

const MS_PER_HOUR: u64 = 3_600_000;

fn seed() -> u64 {
    match std::env::var("DORMOUSE_SEED") {
        Ok(text) => text.parse().expect("DORMOUSE_SEED is a number"),
        Err(_) => RandomState::new().hash_one("simulation") >> 16,
    }
}

#[test]
fn every_history_keeps_the_promises() {
    let seed = seed();
    println!("simulation begins, seed {seed}");
    let mut chance = Chance::new(seed);
    let (mut lived_ms, mut n_machines, mut n_steps) = (0, 0_u64, 0);
    while lived_ms < MACHINE_HOURS * MS_PER_HOUR {
        let mut sim = Sim::new(chance.next());
        sim.live(LIFE_HOURS);
        lived_ms += sim.elapsed;
        n_machines += 1;
        n_steps += sim.n_steps;
    }
    println!("{n_machines} machines, {n_steps} steps");
    let line = format!("simulated {} machine-hours, seed {seed}", lived_ms / MS_PER_HOUR);
    println!("{line}");
    report(&line);
}

/// Adds a line to the summary of `./dev test`, which names a directory for such lines.
fn report(line: &str) {
    let Some(dir) = std::env::var_os("DORMOUSE_TEST_REPORT").map(std::path::PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&dir).expect("the report directory can be made");
    std::fs::write(dir.join("simulation"), format!("{line}\n")).expect("the report can be written");
}
