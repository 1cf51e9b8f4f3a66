//! Tests of `wheel`.

use super::super::clock::tests::{START, TestClock};
use super::*;
use model::DurationMs;
use std::sync::Arc;

fn id(n: u16) -> MachineId {
    let [a, b] = n.to_be_bytes();
    MachineId::from_random([0, 0, 0, 0, 0, a, b])
}

struct Bench {
    wheel: Arc<Wheel>,
    ready: Arc<Ready>,
    test: TestClock,
}

/// A wheel that turns.
fn turning() -> Bench {
    let (wheel, ready, test) =
        (Arc::new(Wheel::default()), Arc::new(Ready::default()), TestClock::new());
    let (turns, fills, clock) = (Arc::clone(&wheel), Arc::clone(&ready), test.clock());
    drop(tokio::spawn(async move { turns.turn_for_ever(&clock, &fills).await }));
    Bench { wheel, ready, test }
}

fn seconds(n: u64) -> UnixMs {
    START.plus(DurationMs::from_secs(n))
}

async fn pass(by: Duration) {
    tokio::time::sleep(by).await;
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_handed_on_at_its_moment_and_not_before() {
    let bench = turning();
    bench.wheel.set(&id(1), Some(START.plus(DurationMs(10_000))));
    pass(Duration::from_millis(9_999)).await;
    assert_eq!(bench.ready.waiting(), []);
    pass(Duration::from_millis(2)).await;
    assert_eq!(bench.ready.waiting(), [id(1)]);
    assert_eq!(bench.wheel.at(&id(1)), None, "once");
}

#[tokio::test(start_paused = true)]
async fn the_last_word_about_a_moment_counts() {
    let bench = turning();
    bench.wheel.set(&id(1), Some(seconds(10)));
    bench.wheel.set(&id(2), Some(seconds(20)));
    pass(Duration::from_secs(1)).await;
    bench.wheel.set(&id(1), None);
    bench.wheel.set(&id(2), Some(seconds(5)));
    pass(Duration::from_secs(5)).await;
    assert_eq!(bench.ready.waiting(), [id(2)]);
    pass(Duration::from_secs(60)).await;
    assert_eq!(bench.ready.waiting(), [id(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_moment_of_the_past_has_come() {
    let bench = turning();
    bench.wheel.set(&id(1), Some(UnixMs(7)));
    pass(Duration::from_millis(1)).await;
    assert_eq!(bench.ready.waiting(), [id(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_alarms_of_one_second_all_come_in_order() {
    let bench = turning();
    let due = |n: u16| START.plus(DurationMs(5_000 + u64::from(n)));
    bench.wheel.fill((0..1000).rev().map(|n| (id(n), due(n))));
    pass(Duration::from_secs(7)).await;
    assert_eq!(bench.ready.waiting(), (0..1000).map(id).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_read_at_start_does_not_undo_what_is_newer() {
    let bench = turning();
    bench.wheel.set(&id(1), Some(seconds(50)));
    bench.wheel.fill([(id(1), seconds(1)), (id(2), seconds(2))]);
    pass(Duration::from_secs(10)).await;
    assert_eq!(bench.ready.waiting(), [id(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_forward_makes_moments_come_at_once() {
    let bench = turning();
    bench.wheel.set(&id(1), Some(seconds(3600)));
    pass(Duration::from_secs(1)).await;
    bench.test.jump(DurationMs::from_secs(7200));
    bench.wheel.measure_anew();
    pass(Duration::from_millis(1)).await;
    assert_eq!(bench.ready.waiting(), [id(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_puts_moments_off() {
    let bench = turning();
    bench.wheel.set(&id(1), Some(seconds(10)));
    pass(Duration::from_secs(1)).await;
    bench.test.jump_back(DurationMs::from_secs(100));
    bench.wheel.measure_anew();
    pass(Duration::from_secs(108)).await;
    assert_eq!(bench.ready.waiting(), []);
    pass(Duration::from_secs(2)).await;
    assert_eq!(bench.ready.waiting(), [id(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_moment_in_a_thousand_years_does_no_harm() {
    let bench = turning();
    bench.wheel.set(&id(1), Some(UnixMs(u64::MAX)));
    pass(Duration::from_secs(1)).await;
    bench.wheel.set(&id(2), Some(seconds(3)));
    pass(Duration::from_secs(5)).await;
    assert_eq!(bench.ready.waiting(), [id(2)]);
}
