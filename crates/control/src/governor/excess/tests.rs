//! Tests of `excess`.

use super::*;
use model::DurationMs;

const START: UnixMs = UnixMs(1_800_000_000_000);

fn id(n: u8) -> MachineId {
    MachineId::from_random([n; 7])
}

fn at(second: u64) -> UnixMs {
    START.plus(DurationMs::from_secs(second))
}

/// Machines of one app with their loads; a load above ten is above the soft limit.
#[derive(Default)]
struct Bench {
    excess: Excess,
    loads: HashMap<MachineId, u32>,
}

impl Bench {
    /// Machines that are up at second zero, with these loads.
    fn up(loads: &[u32]) -> Self {
        let mut bench = Self::default();
        for (n, load) in (1..).zip(loads) {
            bench.loads.insert(id(n), *load);
        }
        for n in (1..).take(loads.len()) {
            bench.set(n, true, 0);
        }
        bench
    }

    fn press(&self) -> impl Fn(&MachineId) -> Option<Press> {
        |id| {
            let n = *self.loads.get(id)?;
            Some(Press { n, is_over_soft: n > 10, counted_since: UnixMs(0) })
        }
    }

    fn app() -> AppName {
        "web".parse().expect("a name")
    }

    fn set(&self, n: u8, is_up: bool, second: u64) -> Option<MachineId> {
        drop(self.excess.set_rests(&id(n), &Self::app(), true, at(second), self.press()));
        self.excess.set_up(&id(n), &Self::app(), is_up, at(second), self.press())
    }

    fn load(&mut self, n: u8, load: u32, second: u64) -> Option<MachineId> {
        self.loads.insert(id(n), load);
        self.excess.pressed(&id(n), at(second), self.press())
    }

    #[track_caller]
    fn check(&self, expected: Option<(u8, u64)>) {
        let known: Vec<_> = (1..10).filter_map(|n| Some((n, self.excess.since(&id(n))?))).collect();
        let expected: Vec<_> = expected.map(|(n, second)| (n, at(second))).into_iter().collect();
        assert_eq!(known, expected);
    }
}

#[test]
fn one_machine_is_never_too_many() {
    Bench::up(&[0]).check(None);
    Bench::up(&[5]).check(None);
}

#[test]
fn of_two_below_their_limit_the_least_pressed_is_too_many() {
    Bench::up(&[5, 3]).check(Some((2, 0)));
    Bench::up(&[5, 5]).check(Some((1, 0)));
}

#[test]
fn who_is_above_the_limit_needs_one_beside_it() {
    Bench::up(&[11, 3]).check(None);
    Bench::up(&[11, 3, 4]).check(Some((2, 0)));
    Bench::up(&[11, 12, 4]).check(None);
    Bench::up(&[11, 12]).check(None);
}

#[test]
fn it_has_lasted_whoever_is_the_least_pressed_one() {
    let mut bench = Bench::up(&[5, 3]);
    assert_eq!(bench.load(2, 7, 50), Some(id(1)));
    bench.check(Some((1, 0)));
    assert_eq!(bench.load(2, 8, 51), None, "nothing new");
}

#[test]
fn a_moment_above_the_limit_begins_the_count_anew() {
    let mut bench = Bench::up(&[5, 3]);
    assert_eq!(bench.load(1, 11, 20), None);
    bench.check(None);
    assert_eq!(bench.load(1, 5, 21), Some(id(2)));
    bench.check(Some((2, 21)));
}

#[test]
fn when_one_has_gone_the_count_begins_anew() {
    let mut bench = Bench::up(&[5, 3, 4]);
    bench.check(Some((2, 0)));
    assert_eq!(bench.set(2, false, 60), Some(id(3)));
    bench.check(Some((3, 60)));
    assert_eq!(bench.set(3, false, 120), None);
    bench.check(None);
    assert_eq!(bench.load(1, 0, 130), None);
    bench.check(None);
}

#[test]
fn who_is_not_put_to_rest_by_its_services_does_not_count() {
    let bench = Bench::up(&[5, 3]);
    let rests =
        |n, rests| bench.excess.set_rests(&id(n), &Bench::app(), rests, at(9), bench.press());
    assert_eq!(rests(1, false), None);
    bench.check(None);
    assert_eq!(rests(1, true), Some(id(2)));
}

#[test]
fn without_a_proxy_nobody_is_too_many() {
    let mut bench = Bench::up(&[5, 3]);
    bench.loads.remove(&id(1));
    assert_eq!(bench.load(2, 1, 5), None);
    bench.check(None);
}

#[test]
fn who_is_gone_leaves_nothing_behind() {
    let bench = Bench::up(&[5, 3]);
    for n in [1, 2] {
        bench.excess.forget(&id(n));
    }
    let book = bench.excess.lock();
    assert!(book.apps.is_empty() && book.app_of.is_empty());
}
