//! Faults as a process meets them: the test binary runs itself as the victim.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

const SIGKILL: i32 = 9;
const ROLE: &str = "FAILPOINT_TEST_ROLE";

/// The victim: passes five failpoints, four steps and three writes, and tells what it saw.
///
/// Only does anything when this binary was started by [`run_victim`].
#[test]
fn victim() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    println!(); // ends the line that the test harness has begun
    for name in ["a.one", "b.two", "a.one", "b.two", "a.one"] {
        failpoint::hit(name);
        println!("passed {name}");
    }
    for name in ["disk", "net", "disk", "net"] {
        println!("step {name} {:?}", failpoint::step(name));
    }
    for _ in 0..3 {
        println!("io {:?}", failpoint::io("any").map_err(|e| e.raw_os_error()));
    }
}

fn run_victim(variables: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().expect("the test binary has a path"))
        .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
        .env(ROLE, "victim")
        .envs(variables.iter().copied())
        .output()
        .expect("the test binary starts")
}

fn lines(output: &Output, prefix: &str) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).expect("the victim prints text");
    text.lines().filter_map(|line| line.strip_prefix(prefix).map(str::to_owned)).collect()
}

/// A log path that is removed again, also when the test fails.
struct Log(PathBuf);

impl Log {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("failpoint-{name}-{}", std::process::id())))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

#[test]
fn nothing_happens_when_nothing_is_asked() {
    let output = run_victim(&[]);
    assert!(output.status.success());
    assert_eq!(lines(&output, "passed ").len(), 5);
    assert_eq!(lines(&output, "step "), ["disk None", "net None", "disk None", "net None"]);
    assert_eq!(lines(&output, "io "), ["Ok(())"; 3]);
}

#[test]
fn dry_run_counts_every_hit() {
    let log = Log::new("dry");
    assert!(run_victim(&[("DORMOUSE_FAILPOINT_LOG", log.0.to_str().unwrap())]).status.success());
    let text = std::fs::read_to_string(&log.0).unwrap();
    assert_eq!(text, "1 a.one\n2 b.two\n3 a.one\n4 b.two\n5 a.one\n");
}

#[test]
fn process_dies_at_the_numbered_hit() {
    for n in 1..=5_usize {
        let output = run_victim(&[("DORMOUSE_FAILPOINT", &n.to_string())]);
        assert_eq!(output.status.signal(), Some(SIGKILL));
        assert_eq!(lines(&output, "passed ").len(), n - 1);
    }
    assert!(run_victim(&[("DORMOUSE_FAILPOINT", "6")]).status.success());
}

#[test]
fn process_dies_at_the_named_hit_and_logs_it_first() {
    let log = Log::new("named");
    let output = run_victim(&[
        ("DORMOUSE_FAILPOINT", "b.two#2"),
        ("DORMOUSE_FAILPOINT_LOG", log.0.to_str().unwrap()),
    ]);
    assert_eq!(output.status.signal(), Some(SIGKILL));
    assert_eq!(lines(&output, "passed "), ["a.one", "b.two", "a.one"]);
    assert!(std::fs::read_to_string(&log.0).unwrap().ends_with("4 b.two\n"));
}

#[test]
fn steps_are_bent_as_asked() {
    let check = |fault: &str, expected: [&str; 4]| {
        assert_eq!(lines(&run_victim(&[("DORMOUSE_STEP_FAULT", fault)]), "step "), expected);
    };
    check("twice", ["disk RunTwice", "net RunTwice", "disk RunTwice", "net RunTwice"]);
    check("fail-once:3", ["disk None", "net None", "disk Fail", "net None"]);
    check("fail-always:net", ["disk None", "net Fail", "disk None", "net Fail"]);
}

#[test]
fn disk_stays_full_from_the_numbered_write_on() {
    let output = run_victim(&[("DORMOUSE_DISK_FULL", "2")]);
    assert_eq!(lines(&output, "io "), ["Ok(())", "Err(Some(28))", "Err(Some(28))"]);
}

#[test]
fn a_value_that_does_not_parse_ends_the_process() {
    assert!(!run_victim(&[("DORMOUSE_FAILPOINT", "soon")]).status.success());
}
