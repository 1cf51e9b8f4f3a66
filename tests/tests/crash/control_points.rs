//! Control dies at each of its numbered points.

use crate::scenario::{Caller, STEPS, Setback, Step};
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use testkit::{Builder, Instance, report};
use tests::fixture::{copy_of_data, expect_nothing_left};

/// Steps whose points are tried on a data directory made for each of them anew: the rest begins
/// with a copy of what these leave.
const N_FIRST: usize = 2;

/// A point that one run passes and another does not (a pool that refills sooner, say) is no
/// failure; that many are.
const MISSED_MAX: usize = 5;

#[test]
fn whatever_was_acknowledged_survives_a_death_while_the_image_comes_in() {
    let fresh =
        || tempfile::Builder::new().prefix("dormouse-crash-").tempdir().expect("a directory");
    let points = points_passed(fresh(), 0, N_FIRST);
    try_all("an import", &points, fresh, 0, N_FIRST);
}

#[test]
fn whatever_was_acknowledged_survives_a_death_in_a_machines_life() {
    let template = with_image();
    let copy = || copy_of_data(template.path());
    let points = points_passed(copy(), N_FIRST, STEPS.len());
    try_all("a life", &points, copy, N_FIRST, STEPS.len());
}

/// A data directory after the first steps.
fn with_image() -> TempDir {
    let instance = Builder::default().unsupervised().start();
    let mut caller = Caller::new(instance.dir());
    caller.go_on_until(&instance, N_FIRST).expect("nothing is planted");
    instance.into_dir()
}

fn caller_of(instance: &Instance, n_done: usize) -> Caller {
    Caller::after(instance.dir(), n_done)
}

/// Names of the points that an undisturbed run passes, in order.
fn points_passed(dir: TempDir, from: usize, to: usize) -> Vec<String> {
    let log = dir.path().join("failpoints");
    let log_path = log.to_str().expect("a plain path").to_owned();
    let instance = Builder::default()
        .unsupervised()
        .in_dir(dir)
        .env("DORMOUSE_FAILPOINT_LOG", &log_path)
        .start();
    let mut caller = caller_of(&instance, from);
    caller.go_on_until(&instance, to).expect("nothing is planted");
    let control = instance.control_pid();
    let text = fs::read_to_string(&log).expect("the points are logged");
    let points: Vec<String> = text
        .lines()
        .enumerate()
        .map_while(|(n, line)| line.strip_prefix(&format!("{} ", n + 1)).map(str::to_owned))
        .collect();
    assert_eq!(points.len(), text.lines().count(), "another process than {control} logged points");
    points
}

fn try_all(name: &str, points: &[String], dir: impl Fn() -> TempDir, from: usize, to: usize) {
    let mut n_missed = 0;
    for (n, point) in points.iter().enumerate() {
        let died = die_at(n + 1, point, dir(), from, to);
        n_missed += usize::from(!died);
    }
    assert!(n_missed <= MISSED_MAX, "{n_missed} of {} points were not reached", points.len());
    let n_tried = points.len() - n_missed;
    report::line("crash", &format!("crash-points {n_tried} of {name}"));
}

/// Lets control die at its `n`th point, and the caller finish what it began; whether it died.
fn die_at(n: usize, point: &str, dir: TempDir, from: usize, to: usize) -> bool {
    let mut instance = Builder::default()
        .unsupervised()
        .in_dir(dir)
        .env("DORMOUSE_FAILPOINT", &n.to_string())
        .spawn();
    let mut caller = caller_of(&instance, from);
    let outcome = instance.listens_or_ends().then(|| caller.go_on_until(&instance, to));
    let lost_at = match outcome {
        Some(Ok(())) => None,
        Some(Err(Setback::Refused(reply))) => panic!("point {n} ({point}): {}", reply.text),
        Some(Err(Setback::Lost)) | None => caller.next_step(),
    };
    let died = lost_at.is_some();
    if died {
        let code = instance.wait_for_its_end();
        assert_eq!(code, None, "point {n} ({point}): it ended by itself");
        instance.start_again();
        caller.check(&instance);
        caller.go_on_until(&instance, to).unwrap_or_else(|setback| {
            panic!("point {n} ({point}): cannot be finished: {setback:?}")
        });
    }
    if let Some(machine) = caller.machine() {
        caller.check_exits(&instance, lost_at.filter(|step| *step != Step::Import));
        expect_nothing_left(&instance, machine);
    }
    expect_known_files(instance.data_dir(), point);
    drop(instance.into_dir());
    died
}

/// No half-made file and no directory of nobody is there. (An image that was made and not yet
/// recorded lies in quarantine: data is never removed on absence.)
pub(crate) fn expect_known_files(data_dir: &Path, point: &str) {
    for place in ["machines", "quarantine/machines", "tmp/disk", "tmp/image"] {
        let Ok(entries) = fs::read_dir(data_dir.join(place)) else { continue };
        let names: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        assert!(names.is_empty(), "{point}: {names:?}");
    }
}
