//! Tests of `signals`.

use super::super::clock::tests::TestClock;
use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

fn id(n: u8) -> MachineId {
    MachineId::from_random([n; 7])
}

fn addresses() -> MachineAddrs {
    MachineAddrs {
        v4: std::net::Ipv4Addr::new(100, 64, 0, 1),
        v6: std::net::Ipv6Addr::new(0xfdaa, 1, 2, 0xa7b, 0, 0, 0, 2),
    }
}

fn reads_activity() -> Reads {
    Reads { activity: true, ..Reads::default() }
}

struct Bench {
    signals: Arc<Signals>,
    ready: Arc<Ready>,
    test: TestClock,
    n_asked: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

/// Signals that are measured; every machine has sent `bytes`.
fn measuring() -> Bench {
    let bench = Bench {
        signals: Arc::default(),
        ready: Arc::default(),
        test: TestClock::new(),
        n_asked: Arc::default(),
        bytes: Arc::default(),
    };
    let (signals, ready) = (Arc::clone(&bench.signals), Arc::clone(&bench.ready));
    let (n_asked, bytes) = (Arc::clone(&bench.n_asked), Arc::clone(&bench.bytes));
    let clock = bench.test.clock();
    drop(tokio::spawn(async move {
        let ask = |_id| {
            n_asked.fetch_add(1, Ordering::Relaxed);
            let tx_bytes = bytes.load(Ordering::Relaxed);
            std::future::ready(Some(Usage {
                cpu_us: 0,
                ram_bytes: 0,
                ram_limit_bytes: 0,
                pids: 0,
                rx_bytes: 0,
                tx_bytes,
                disk_bytes: 0,
            }))
        };
        signals.measure_for_ever(&clock, &ready, ask, || std::future::ready(None)).await;
    }));
    bench
}

async fn seconds(n: u64) {
    tokio::time::sleep(Duration::from_secs(n) + Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn only_a_machine_that_is_up_and_reads_it_is_measured() {
    let bench = measuring();
    bench.signals.set_up(&id(1), true, addresses());
    bench.signals.set_reads(&id(2), &reads_activity());
    seconds(60).await;
    assert_eq!(bench.n_asked.load(Ordering::Relaxed), 0);
    bench.signals.set_up(&id(2), true, addresses());
    seconds(60).await;
    assert_eq!(bench.n_asked.load(Ordering::Relaxed), 13, "at once, then every five seconds");
    bench.signals.set_up(&id(2), false, addresses());
    seconds(60).await;
    assert_eq!(bench.n_asked.load(Ordering::Relaxed), 13);
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_told_when_it_becomes_idle_and_when_it_ends_being_so() {
    let bench = measuring();
    bench.signals.set_up(&id(1), true, addresses());
    bench.signals.set_reads(&id(1), &reads_activity());
    let told = |what: &str| {
        let waiting = bench.ready.waiting();
        bench.ready.forget(&id(1));
        assert_eq!(waiting, [id(1)], "{what}");
    };
    seconds(6).await;
    told("it is known now");
    seconds(50).await;
    assert_eq!(bench.ready.waiting(), [], "still within the minute");
    seconds(10).await;
    told("it is idle");
    seconds(300).await;
    assert_eq!(bench.ready.waiting(), [], "time is the wheel's");
    bench.bytes.store(1, Ordering::Relaxed);
    seconds(5).await;
    told("it is busy again");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_comes_up_again_is_measured_anew() {
    let bench = measuring();
    bench.signals.set_reads(&id(1), &reads_activity());
    bench.signals.set_up(&id(1), true, addresses());
    seconds(100).await;
    assert!(matches!(bench.signals.of(&id(1)).idle, Some(Idle::Since(_))));
    bench.signals.set_up(&id(1), false, addresses());
    bench.signals.set_up(&id(1), true, addresses());
    assert_eq!(bench.signals.of(&id(1)), Measured::default());
}

#[tokio::test(start_paused = true)]
async fn sessions_are_news_only_for_those_who_read_it() {
    let bench = measuring();
    bench.signals.set_up(&id(1), true, addresses());
    assert!(!bench.signals.set_sessions(&id(1), 1, bench.test.now()));
    bench.signals.set_reads(&id(1), &reads_activity());
    assert!(bench.signals.set_sessions(&id(1), 0, bench.test.now()));
}

#[tokio::test(start_paused = true)]
async fn commands_go_on_through_a_freeze() {
    let bench = measuring();
    bench.signals.set_up(&id(1), true, addresses());
    bench.signals.set_sessions(&id(1), 1, bench.test.now());
    bench.signals.set_up(&id(1), false, addresses());
    bench.signals.set_up(&id(1), true, addresses());
    assert_eq!(bench.signals.of(&id(1)).idle, Some(Idle::Busy));
}

#[test]
fn nothing_is_kept_of_machines_that_rest_and_read_nothing() {
    let signals = Signals::default();
    signals.set_up(&id(1), true, addresses());
    signals.set_reads(&id(1), &Reads::default());
    signals.set_up(&id(1), false, addresses());
    signals.set_reads(&id(2), &Reads::default());
    assert!(signals.lock().is_empty());
}
