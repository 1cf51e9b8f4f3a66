//! What things cost here. Printed, not asserted: the promised figures have their own benchmark.

use crate::sample::{
    NOW, app_name, event, machine, machine_id, message, open_with_app, selfhood, stopped,
};
use std::time::{Duration, Instant};
use store::{MachineFilter, MessageRecord, SelfhoodRecord, StoreError, Tx};

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

/// Machines that govern their own sleep.
const N_GOVERNED: u32 = 10_000;

/// Messages that wait for each of them.
const N_WAITING: u64 = 10;

#[test]
fn ten_thousand_machines_remember() {
    let (_dir, store) = open_with_app();
    let took = time(|| store.write_blocking("fill", fill).expect("stored"));
    println!("{N_GOVERNED} machines of {N_WAITING} messages in one change: {took:?}");
    let read = |what: &str, look: &dyn Fn(&store::Reader<'_>, u32) -> Result<(), StoreError>| {
        let look = |n| time(|| store.read(|r| look(r, n)).expect("reads"));
        let samples: Vec<_> = (0..200).map(|n| look(n * 49)).collect();
        println!("{what}: p50 {:?}", quantile(samples, 50));
    };
    let expected = u64::from(N_GOVERNED) * N_WAITING * 5;
    read("bytes that wait for an app, and for the host", &|r, _| {
        assert_eq!(r.inbox_bytes(Some(&app_name()))?, expected);
        r.inbox_bytes(None).map(|bytes| assert_eq!(bytes, expected))
    });
    read("one selfhood", &|r, n| r.selfhood(&machine_id(n)).map(|s| assert!(s.is_some())));
    read("ten messages", &|r, n| {
        r.messages_after(&machine_id(n), 0, 100).map(|rows| assert_eq!(rows.len(), 10))
    });
    read("an id that was posted", &|r, n| {
        r.message_seen(&machine_id(n), "id-3").map(|seen| assert!(seen.is_some()))
    });
    let timers = time(|| {
        assert_eq!(store.read(|r| r.selfhood_timers()).expect("reads").len(), 10_000);
    });
    println!("{N_GOVERNED} timers: {timers:?}");
    let pruned = time(|| {
        store.write_blocking("prune", |tx| tx.prune_policies().map(drop)).expect("pruned");
    });
    println!("prune policies: {pruned:?}");
    for (what, change) in CHANGES {
        let change =
            |n| time(|| store.write_blocking("change", move |tx| change(tx, n)).expect("stored"));
        let samples: Vec<_> = (0..400).map(|n| change(n * 23)).collect();
        let (p50, p99) = (quantile(samples.clone(), 50), quantile(samples, 99));
        println!("{what}: p50 {p50:?}, p99 {p99:?}");
    }
    let batch = time(|| store.write_blocking("posts", posts).expect("stored"));
    println!("500 posts to 500 machines in one commit: {batch:?}");
}

/// Something that is done to the machine of this number.
type Change = fn(&Tx<'_>, u32) -> Result<(), StoreError>;

/// What a machine's life consists of, each in a commit of its own.
const CHANGES: [(&str, Change); 3] = [
    ("post: message, record, trace", |tx, n| {
        tx.put_message(&message(n, 11), "hello")?;
        write_down(tx, n, 2)
    }),
    ("take: ten deliveries, record, trace", |tx, n| {
        (1..=N_WAITING).try_for_each(|seq| tx.mark_delivered(&machine_id(n), seq, 1, NOW))?;
        write_down(tx, n, 3)
    }),
    ("ack: ten messages, record, trace", |tx, n| {
        (1..=N_WAITING).try_for_each(|seq| tx.remove_message(&machine_id(n), seq, NOW))?;
        tx.forget_message_ids(&machine_id(n), NOW)?;
        write_down(tx, n, 4)
    }),
];

/// Five hundred posts, as they come in one group.
fn posts(tx: &Tx<'_>) -> Result<(), StoreError> {
    (0..500).try_for_each(|n| {
        tx.put_message(&MessageRecord { id: None, ..message(n * 19, 12) }, "hello")?;
        write_down(tx, n * 19, 5)
    })
}

fn fill(tx: &Tx<'_>) -> Result<(), StoreError> {
    for n in 0..N_GOVERNED {
        tx.insert_machine(&machine(n))?;
        write_down(tx, n, 1)?;
        (1..=N_WAITING).try_for_each(|seq| tx.put_message(&message(n, seq), "hello"))?;
    }
    Ok(())
}

/// A record of 2 KiB and a trace entry of 600 bytes: what five rules and ten facts come to.
fn write_down(tx: &Tx<'_>, n: u32, revision: u64) -> Result<(), StoreError> {
    let record = "x".repeat(2 * 1024);
    tx.put_selfhood(&SelfhoodRecord { revision, record, ..selfhood(n) })?;
    tx.append_trace(&machine_id(n), revision, NOW, &"x".repeat(600))
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
