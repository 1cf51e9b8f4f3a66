//! Tests of `ready`.

use super::*;
use std::sync::Arc;

fn id(n: u16) -> MachineId {
    let [a, b] = n.to_be_bytes();
    MachineId::from_random([0, 0, 0, 0, 0, a, b])
}

/// A teller that notes whom it told.
fn tell(ready: &Arc<Ready>, answer: fn(&MachineId) -> Told) -> Arc<Mutex<Vec<MachineId>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (ready, notes) = (Arc::clone(ready), Arc::clone(&told));
    drop(tokio::spawn(async move {
        ready
            .tell_for_ever(|id| {
                notes.lock().unwrap().push(id.clone());
                answer(id)
            })
            .await;
    }));
    told
}

fn take(told: &Mutex<Vec<MachineId>>) -> Vec<MachineId> {
    std::mem::take(&mut *told.lock().unwrap())
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_told_once_however_much_happens() {
    let ready = Arc::new(Ready::default());
    for _ in 0..100 {
        ready.push(&id(1), Lane::Now);
    }
    let told = tell(&ready, |_| Told::Yes);
    settle().await;
    assert_eq!(take(&told), [id(1)]);
    ready.push(&id(1), Lane::Now);
    settle().await;
    assert_eq!(take(&told), [id(1)], "what happens while it evaluates is told too");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_are_told_a_few_at_a_time() {
    let ready = Arc::new(Ready::default());
    let all: Vec<MachineId> = (0..1000).map(id).collect();
    let told = tell(&ready, |_| Told::Yes);
    ready.push_all(all.clone(), Lane::Now);
    let mut seen = Vec::new();
    while seen.len() < all.len() {
        settle().await;
        let batch = take(&told);
        assert!((1..=AT_ONCE).contains(&batch.len()), "{}", batch.len());
        batch.iter().for_each(|id| ready.done(id));
        seen.extend(batch);
    }
    assert_eq!(seen, all);
}

#[tokio::test(start_paused = true)]
async fn what_happens_comes_before_the_sweep() {
    let ready = Arc::new(Ready::default());
    ready.push_all((0..500).map(id), Lane::Sweep);
    let told = tell(&ready, |_| Told::Yes);
    settle().await;
    assert_eq!(take(&told).len(), SWEPT_AT_ONCE, "the sweep leaves room");
    ready.push(&id(999), Lane::Now);
    settle().await;
    assert_eq!(take(&told), [id(999)]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_machine_that_says_nothing() {
    let ready = Arc::new(Ready::default());
    ready.push_all((0..100).map(id), Lane::Now);
    let told = tell(&ready, |_| Told::Yes);
    settle().await;
    assert_eq!(take(&told).len(), AT_ONCE);
    tokio::time::sleep(PATIENCE).await;
    assert_eq!(take(&told).len(), 100 - AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_queue_is_full_is_told_again() {
    let ready = Arc::new(Ready::default());
    ready.push(&id(1), Lane::Sweep);
    let told = tell(&ready, |_| Told::Busy);
    settle().await;
    assert_eq!(take(&told), [id(1)]);
    ready.done(&id(1));
    settle().await;
    assert_eq!(take(&told), [], "it did not evaluate, whatever it says");
    tokio::time::sleep(BUSY_RETRY).await;
    assert_eq!(take(&told), [id(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_gone_is_told_nothing() {
    let ready = Arc::new(Ready::default());
    ready.push_all([id(1), id(2)], Lane::Now);
    ready.push(&id(1), Lane::Sweep);
    ready.forget(&id(1));
    let told = tell(&ready, |_| Told::Yes);
    settle().await;
    assert_eq!(take(&told), [id(2)]);
}
