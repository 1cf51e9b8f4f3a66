//! The lines, the looks, and who is chosen.

use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn growths(mib: &[u64]) -> Vec<Growth> {
    let one = |(n, mib): (usize, &u64)| Growth {
        machine: format!("{n:014x}").parse().expect("an id"),
        bytes: mib * MIB,
    };
    mib.iter().enumerate().map(one).collect()
}

#[track_caller]
fn check(free: u16, mib: &[u64], chosen: &[usize]) {
    let all = growths(mib);
    let expected: Vec<Growth> = chosen.iter().map(|n| all[*n].clone()).collect();
    assert_eq!(to_freeze(PerMille(free), all), expected, "{free} {mib:?}");
}

#[test]
fn the_fastest_are_frozen_and_the_quiet_never() {
    check(49, &[], &[]);
    check(49, &[0, 0], &[]);
    check(49, &[0, 500], &[1]);
    check(49, &[3, 500, 20], &[1]);
    check(49, &[10, 30, 20], &[1]);
    check(49, &[10, 20, 20], &[1, 2]);
    check(49, &[8; 100], &[0, 1, 2, 3]);
    check(0, &[1], &[0]);
}

#[test]
fn nobody_is_frozen_while_there_is_room() {
    check(50, &[500], &[]);
    check(1000, &[500], &[]);
}

#[test]
fn little_growth_freezes_nobody() {
    let machine = growths(&[0]).remove(0).machine;
    let few = vec![Growth { machine, bytes: GROWTH_MIN_BYTES - 1 }];
    assert_eq!(to_freeze(PerMille(0), few), []);
}

#[track_caller]
fn check_look(free_mib: u64, total_gib: u64, expected_ms: u64) {
    let room = Room { free_bytes: free_mib * MIB, total_bytes: total_gib * GIB };
    assert_eq!(room.next_look(), DurationMs(expected_ms), "{room:?}");
}

#[test]
fn looks_are_closer_the_less_there_is_to_lose() {
    check_look(50 * 1024, 100, 2_000);
    check_look(6 * 1024, 100, 500);
    check_look(5 * 1024, 100, 200);
    check_look(0, 100, 200);
    check_look(1024, 1, 475);
    check_look(0, 0, 200);
}

proptest! {
    #[test]
    fn whoever_is_chosen_wrote_more_than_who_is_not(
        free in 0..120_u16,
        mib in prop::collection::vec(0..50_u64, 0..20),
    ) {
        let all = growths(&mib);
        let chosen = to_freeze(PerMille(free), all.clone());
        prop_assert!(chosen.len() <= FREEZE_AT_ONCE);
        prop_assert!(chosen.iter().all(|growth| growth.bytes > 0));
        let is_pressed = PerMille(free) < FREEZE_BELOW;
        let writes = mib.iter().any(|mib| *mib > 0);
        prop_assert_eq!(chosen.is_empty(), !(is_pressed && writes));
        let least = chosen.iter().map(|growth| growth.bytes).min().unwrap_or(u64::MAX);
        let spared = all.iter().filter(|growth| !chosen.contains(growth));
        prop_assert!(spared.clone().all(|growth| growth.bytes <= least));
    }
}
