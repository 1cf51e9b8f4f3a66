//! Tests of `herd`.

use super::*;

fn id(n: u16) -> MachineId {
    let [a, b] = n.to_be_bytes();
    MachineId::from_random([0, 0, 0, 0, 0, a, b])
}

fn app(name: &str) -> AppName {
    name.parse().expect("a valid name")
}

fn herd(host_cpus: u64) -> (Arc<Herd>, Arc<Ready>) {
    let ready = Arc::new(Ready::default());
    (Herd::new(host_cpus, Arc::clone(&ready)), ready)
}

/// All eight turns of a small host.
fn take_all(herd: &Arc<Herd>, name: &str) -> VecDeque<Turn> {
    (0..8).map(|n| herd.turn(&id(n), &app(name)).expect("a free turn")).collect()
}

#[test]
fn as_many_wake_at_once_as_the_host_can_bear() {
    for (cpus, at_once) in [(1, 8), (2, 8), (3, 12), (16, 64)] {
        let (herd, _ready) = herd(cpus);
        let turns: Vec<Turn> = (0..).map_while(|n| herd.turn(&id(n), &app("a"))).collect();
        assert_eq!(turns.len(), at_once, "{cpus} CPUs");
    }
}

#[test]
fn a_turn_given_back_goes_to_the_first_in_line() {
    let (herd, ready) = herd(1);
    let mut turns = take_all(&herd, "a");
    assert!(herd.turn(&id(100), &app("a")).is_none());
    assert!(herd.turn(&id(101), &app("a")).is_none());
    assert!(herd.turn(&id(100), &app("a")).is_none(), "to ask again changes nothing");
    turns.pop_front();
    assert_eq!(ready.waiting(), [id(100)]);
    assert!(herd.turn(&id(101), &app("a")).is_none(), "it is kept for the other");
    let turn = herd.turn(&id(100), &app("a"));
    assert!(turn.is_some());
    drop(turn);
    assert_eq!(ready.waiting(), [id(100), id(101)]);
}

#[test]
fn a_thousand_of_one_app_do_not_keep_another_app_waiting() {
    let (herd, ready) = herd(1);
    let mut turns = take_all(&herd, "loud");
    for n in 100..1100 {
        assert!(herd.turn(&id(n), &app("loud")).is_none());
    }
    assert!(herd.turn(&id(2000), &app("quiet")).is_none());
    turns.pop_front();
    turns.pop_front();
    assert_eq!(ready.waiting(), [id(100), id(2000)]);
}

#[test]
fn apps_take_turns_and_within_an_app_the_first_goes_first() {
    let (herd, ready) = herd(1);
    let turns = take_all(&herd, "z");
    for n in [10, 11, 12] {
        assert!(herd.turn(&id(n), &app("a")).is_none());
    }
    for n in [20, 21] {
        assert!(herd.turn(&id(n), &app("b")).is_none());
    }
    drop(turns);
    assert_eq!(ready.waiting(), [10, 20, 11, 21, 12].map(id));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_nobody_takes_is_passed_on() {
    let (herd, ready) = herd(1);
    let passing = Arc::clone(&herd);
    drop(tokio::spawn(async move { passing.pass_on_for_ever().await }));
    let turns = take_all(&herd, "a");
    for n in 100..120 {
        assert!(herd.turn(&id(n), &app("a")).is_none());
    }
    drop(turns);
    assert_eq!(ready.waiting().len(), 8, "they are told, and do not come");
    tokio::time::sleep(KEPT_FOR + Duration::from_millis(2)).await;
    assert_eq!(ready.waiting().len(), 16);
    tokio::time::sleep(KEPT_FOR + Duration::from_millis(2)).await;
    assert_eq!(ready.waiting().len(), 20);
    assert!(herd.turn(&id(300), &app("a")).is_some(), "nobody is in line any more");
}

#[test]
fn who_wants_nothing_any_more_is_passed_over() {
    let (herd, ready) = herd(1);
    let mut turns = take_all(&herd, "a");
    for n in [100, 101, 102] {
        assert!(herd.turn(&id(n), &app("a")).is_none());
    }
    herd.withdraw(&id(100));
    turns.pop_front();
    assert_eq!(ready.waiting(), [id(101)]);
    herd.withdraw(&id(101));
    assert_eq!(ready.waiting(), [id(101), id(102)], "a kept turn goes on at once");
}

#[test]
fn a_machine_has_one_turn() {
    let (herd, _ready) = herd(1);
    let turn = herd.turn(&id(1), &app("a"));
    assert!(turn.is_some());
    assert!(herd.turn(&id(1), &app("a")).is_none());
    drop(turn);
    assert!(herd.turn(&id(1), &app("a")).is_some());
}
