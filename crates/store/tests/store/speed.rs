//! What things cost here. Printed, not asserted: the promised figures have their own benchmark.

use crate::sample::{NOW, event, machine, machine_id, open_with_app, stopped};
use std::time::{Duration, Instant};
use store::MachineFilter;

const N_MACHINES: u32 = 1_000;

#[test]
fn a_thousand_machines_are_listed() {
    let (_dir, store) = open_with_app();
    let insert =
        |tx: &store::Tx<'_>| (0..N_MACHINES).try_for_each(|n| tx.insert_machine(&machine(n)));
    let took = time(|| store.write_blocking("insert", insert).expect("stored"));
    println!("insert {N_MACHINES} machines in one change: {took:?}");
    let filter = MachineFilter::default();
    let mut summaries = Vec::new();
    let mut records = Vec::new();
    for _ in 0..10 {
        summaries.push(time(|| {
            let found = store.read(|r| r.machine_summaries(&filter)).expect("reads");
            assert_eq!(found.len(), 1_000);
        }));
        records.push(time(|| {
            let found = store.read(|r| r.machines(&filter)).expect("reads");
            assert_eq!(found.len(), 1_000);
        }));
    }
    let one: Vec<_> = (0..200)
        .map(|n| {
            time(|| assert!(store.read(|r| r.machine(&machine_id(n))).expect("reads").is_some()))
        })
        .collect();
    println!("list of {N_MACHINES} summaries: p50 {:?}", quantile(summaries, 50));
    println!("list of {N_MACHINES} whole records: p50 {:?}", quantile(records, 50));
    println!("one whole record: p50 {:?}", quantile(one, 50));
}

#[test]
fn a_lone_change_is_committed_at_once() {
    let (_dir, store) = open_with_app();
    store.write_blocking("insert", |tx| tx.insert_machine(&machine(1))).expect("stored");
    let mut samples = Vec::new();
    for n in 2..400_u32 {
        samples.push(time(|| {
            let step = move |tx: &store::Tx<'_>| {
                tx.put_machine_state(&machine_id(1), &stopped(u64::from(n)), NOW)?;
                tx.append_event(&event(n, 1))
            };
            store.write_blocking("step", step).expect("stored");
        }));
    }
    let (p50, p99) = (quantile(samples.clone(), 50), quantile(samples, 99));
    println!("state and event in one commit: p50 {p50:?}, p99 {p99:?}");
}

fn time(act: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    act();
    begin.elapsed()
}

fn quantile(mut samples: Vec<Duration>, percent: usize) -> Duration {
    samples.sort();
    samples[(samples.len() - 1) * percent / 100]
}
