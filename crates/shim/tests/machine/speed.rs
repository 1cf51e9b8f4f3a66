//! How long does a start take, and where does the time go?

use crate::client::Client;
use crate::world::World;
use shim_proto::ToShim;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const N_ROUNDS: usize = 60;
const PAUSE: Duration = Duration::from_millis(20);

/// No promise, only a guard: a hundred times what it takes on an idle box.
const P50_MAX: Duration = Duration::from_millis(500);

#[test]
fn a_pooled_shim_starts_a_machine_quickly() {
    let world = World::new();
    let mut totals = Vec::new();
    let mut stops = Vec::new();
    let mut parts: BTreeMap<String, (usize, Vec<u32>)> = BTreeMap::new();
    for _ in 0..N_ROUNDS {
        let mut client = Client::spawn();
        client.status();
        std::thread::sleep(PAUSE);
        let started = Instant::now();
        client.go(world.run(&["/bin/sleep", "1000"]));
        totals.push(started.elapsed());
        for (at, timing) in client.timings.iter().enumerate() {
            parts.entry(timing.part.clone()).or_insert((at, Vec::new())).1.push(timing.us);
        }
        std::thread::sleep(PAUSE);
        let stopping = Instant::now();
        client.send(&ToShim::Kill);
        client.wait_exit();
        stops.push(stopping.elapsed());
    }
    totals.sort();
    stops.sort();
    println!("Prepare to Started, {N_ROUNDS} rounds, {PAUSE:?} pauses");
    println!("{:14} p50 {:>9.3?}  p99 {:>9.3?}", "all", at(&totals, 50), at(&totals, 99));
    let mut parts: Vec<_> = parts.into_iter().collect();
    parts.sort_by_key(|(_, (at, _))| *at);
    for (part, (_, mut us)) in parts {
        us.sort_unstable();
        println!("{part:14} p50 {:>6} µs  p99 {:>6} µs", at(&us, 50), at(&us, 99));
    }
    println!("{:14} p50 {:>9.3?}  p99 {:>9.3?}", "kill to gone", at(&stops, 50), at(&stops, 99));
    assert!(at(&totals, 50) < P50_MAX);
}

fn at<T: Copy>(sorted: &[T], percent: usize) -> T {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
