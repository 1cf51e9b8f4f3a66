//! The worked policies of `examples/`: each script against a daemon of its own.

use std::process::Command;
use testkit::{Instance, instance};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

#[track_caller]
fn check(name: &str) {
    let instance = Instance::start();
    let own = instance::binary("dormouse");
    let dir = own.parent().expect("a file lies in a directory").display().to_string();
    let path = std::env::var("PATH").expect("there is a PATH");
    let output = Command::new(format!("{EXAMPLES}/{name}/run"))
        .env("DORMOUSE_DATA_DIR", instance.data_dir())
        .env("PATH", format!("{dir}:{path}"))
        .output()
        .expect("the script can be run");
    let [said, complained] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{name}: {}\n{said}\n{complained}", output.status);
}

#[test]
fn a_duty_monitor_stays_awake_unvisited() {
    check("duty-monitor");
}

#[test]
fn a_queue_worker_wakes_for_a_pile_and_stays_until_it_is_done() {
    check("queue-worker");
}

#[test]
fn a_nightly_job_cannot_exceed_its_budget() {
    check("nightly-job");
}

#[test]
fn an_agent_sleeps_until_a_person_answers_and_cannot_answer_itself() {
    check("approval");
}

#[test]
fn a_standby_takes_over_only_while_it_hears_the_witness() {
    check("standby");
}

/// Every directory with a script has a test here.
#[test]
fn no_example_is_forgotten() {
    let entries = std::fs::read_dir(EXAMPLES).expect("there are examples");
    let with_scripts = entries.flatten().filter(|entry| entry.path().join("run").is_file());
    let mut names: Vec<String> =
        with_scripts.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, ["approval", "duty-monitor", "nightly-job", "queue-worker", "standby"]);
}
