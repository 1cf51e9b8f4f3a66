//! Requests drawn from the description of the API, by thousands: none gets an answer that is not in it,
//! none a fault of the daemon, none no answer. `scripts/clients` puts the tool that draws where it is
//! found here; what it draws and what it holds answers to is in `tests/schema`.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Builder, Instance, report};
use tests::client::{directory, token, url};

/// Says what is drawn.
const SEED_VARIABLE: &str = "DORMOUSE_SEED";

/// Of so many answers one tells of success, at least: a run that is only ever refused shows little.
const ANSWERS_FOR_A_SUCCESS: u64 = 6;

/// Draws requests for the chapters that `chosen` names; at least `n_min` of them.
#[track_caller]
fn check(share: &str, chosen: &[&str], n_min: u64) {
    let Some(place) = directory("schema") else { return };
    let seed = std::env::var(SEED_VARIABLE).unwrap_or_else(|_unset| "1".to_owned());
    // No request is to leave this host for a registry.
    let instance = Builder::default().arg("--allow-registry=127.0.0.1:1").start();
    let tally = instance.dir().join("tally");
    let output = Command::new(place.join("venv/bin/schemathesis"))
        .args(["--no-color", "run"])
        .arg(description(&instance))
        .arg(format!("--seed={seed}"))
        .args(chosen)
        // Its configuration lies there.
        .current_dir(&place)
        .env("MACHINES_API", url(&instance))
        .env("MACHINES_TOKEN", token(&instance))
        .env("SCHEMA_TALLY", &tally)
        .env("HYPOTHESIS_STORAGE_DIRECTORY", instance.dir())
        .env(SEED_VARIABLE, &seed)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}\n{said}{complaint}");
    let (n, n_done) = counted(&tally);
    assert!(n >= n_min, "only {n} requests were drawn with seed {seed}: {said}");
    assert!(n_done >= n / ANSWERS_FOR_A_SUCCESS, "of {n} requests only {n_done} did something");
    report::line("schema", &format!("requests {n} for {share}, {n_done} successful, seed {seed}"));
}

/// The description as it is served, in a file.
fn description(instance: &Instance) -> PathBuf {
    let file = instance.dir().join("openapi.json");
    let served: Value = instance.get("/v1/openapi.json").expect(200);
    std::fs::write(&file, served.to_string()).expect("the directory is there");
    file
}

/// How many answers there were, and how many told of success.
fn counted(tally: &Path) -> (u64, u64) {
    let text = std::fs::read_to_string(tally).expect("the hooks have written it");
    let by_status: BTreeMap<u16, u64> = serde_json::from_str(&text).expect("a count by status");
    let successful = by_status.iter().filter(|(status, _)| (200..300).contains(*status));
    (by_status.values().sum(), successful.map(|(_, n)| n).sum())
}

#[test]
fn machines() {
    check("machines", &["--include-tag=Machines"], 7_000);
}

#[test]
fn what_machines_remember() {
    check("what machines remember", &["--include-tag=Self"], 5_500);
}

/// What only a machine may ask answers alike to everybody outside.
#[test]
fn everything_else() {
    let chosen = ["--exclude-tag=Machines", "--exclude-tag=Self", "--exclude-tag=Inside"];
    check("everything else", &chosen, 7_500);
}
