//! Bounds of who asks how much.

use super::*;

fn who(number: u32) -> Who {
    Some(format!("{number:014x}").parse().expect("an id"))
}

fn bounds() -> Arc<Bounds> {
    Bounds::new(Limits {
        questions: Pace { burst: 5, per_second: 10 },
        in_flight: 64,
        connections: 16,
        ..Limits::default()
    })
}

#[test]
fn a_flood_is_refused_then_ignored_and_others_are_answered() {
    let (bounds, now) = (bounds(), Instant::now());
    let admissions: Vec<Admission> = (0..1_000).map(|_| bounds.admit(&who(1), now)).collect();
    let count = |wanted| admissions.iter().filter(|&&admission| admission == wanted).count();
    assert_eq!(count(Admission::Answer), 5);
    assert_eq!(count(Admission::Refuse), 100);
    assert_eq!(count(Admission::Drop), 895);
    assert_eq!(bounds.admit(&who(2), now), Admission::Answer);
}

#[test]
fn a_steady_flood_still_gets_its_rate() {
    let (bounds, start) = (bounds(), Instant::now());
    let answered = (0..10_000)
        .filter(|ms| bounds.admit(&who(1), start + Duration::from_millis(*ms)) == Admission::Answer)
        .count();
    assert!((100..=105).contains(&answered), "{answered} in 10 s at 10 per second");
}

#[test]
fn one_machine_gets_a_share_and_many_leave_something_for_the_next() {
    let (bounds, now) = (bounds(), Instant::now());
    let take = |number| bounds.take(&who(number), Scarce::InFlight, now);
    let alone: Vec<Place> = std::iter::from_fn(|| take(1)).collect();
    assert_eq!(alone.len(), 8);
    drop(alone);
    let greedy: Vec<Place> = (0..5)
        .flat_map(|number| std::iter::from_fn(move || Some(number)).map_while(take))
        .collect();
    assert!((20..40).contains(&greedy.len()), "{} of 64 places are taken", greedy.len());
    assert!(take(99).is_some(), "a new one still finds a place");
    drop(greedy);
    assert_eq!(bounds.lock().held, Held::default());
    assert!(bounds.take(&who(1), Scarce::Connections, now).is_some(), "counted apart");
}

#[test]
fn silent_machines_are_forgotten() {
    let (bounds, start) = (bounds(), Instant::now());
    let place = bounds.take(&who(0), Scarce::Connections, start);
    let n_machines = u32::try_from(3 * REMEMBERED).expect("few");
    for number in 1..n_machines {
        let now = start + Duration::from_secs(u64::from(number));
        assert_eq!(bounds.admit(&who(number), now), Admission::Answer);
    }
    assert!(bounds.lock().askers.len() <= REMEMBERED + 1);
    assert!(bounds.lock().askers.contains_key(&who(0)), "it holds a place");
    drop(place);
}
