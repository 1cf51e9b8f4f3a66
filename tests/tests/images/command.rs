//! The command line: progress, credentials from Docker's `config.json`, `run` of an absent image.

use crate::{images, push};
use serde_json::{Value, json};
use std::fs;
use std::process::Output;
use testkit::Instance;
use testkit::registry::{Access, PASSWORD, Registry, USERNAME};

/// Runs the CLI with this `config.json`.
fn cli(instance: &Instance, config: &Value, args: &[&str]) -> Output {
    let dir = instance.dir().join("docker");
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("config.json"), config.to_string()).expect("a file");
    let mut command = instance.command();
    command.args(args).env("DOCKER_CONFIG", &dir).output().expect("the CLI's binary can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_pull_tells_its_stages_on_stderr_and_its_image_on_stdout() {
    let registry = Registry::start(Access::Open);
    push(&registry, "web", "x");
    let instance = Instance::start();
    let reference = registry.reference("web:latest");
    let output = cli(&instance, &json!({}), &["image", "pull", &reference]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with(&reference), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains(&format!("pulling {reference}")));
    let json = cli(&instance, &json!({}), &["image", "pull", &reference, "--json"]);
    let last = text(&json.stdout).lines().last().map(serde_json::from_str::<Value>);
    assert_eq!(last.expect("a line").expect("JSON")["status"], "done");
    let table = text(&cli(&instance, &json!({}), &["image", "list"]).stdout);
    assert!(table.starts_with("NAME") && table.contains(&reference), "{table}");
    let shown = cli(&instance, &json!({}), &["image", "show", &reference]);
    assert!(text(&shown.stdout).contains("digest:"), "{}", text(&shown.stdout));
}

#[test]
fn run_pulls_an_absent_image_first() {
    let registry = Registry::start(Access::Open);
    push(&registry, "web", "from afar");
    let instance = Instance::start();
    let reference = registry.reference("web");
    let output = cli(&instance, &json!({}), &["run", "--rm", &reference, "cat", "/marker"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim_end(), "from afar");
    assert!(text(&output.stderr).contains("pulling"), "{}", text(&output.stderr));
    let again = cli(&instance, &json!({}), &["run", "--rm", &reference, "true"]);
    assert!(again.status.success() && !text(&again.stderr).contains("pulling"));
}

#[test]
fn the_callers_login_counts_for_its_own_registry() {
    let registry = Registry::start(Access::Password);
    push(&registry, "web", "secret");
    let instance = Instance::start();
    let reference = registry.reference("web");
    let login = json!({"username": USERNAME, "password": PASSWORD});
    let elsewhere = json!({"auths": {"r.invalid": login}});
    let output = cli(&instance, &elsewhere, &["image", "pull", &reference]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("hint:"), "{}", text(&output.stderr));

    let helped = json!({"credHelpers": {registry.address(): "secretservice"}});
    let output = cli(&instance, &helped, &["image", "pull", &reference]);
    let said = text(&output.stderr);
    assert!(said.contains("docker-credential-secretservice"), "{said}");
    assert!(said.contains("hint: credential helpers are not supported"), "{said}");
    assert!(images(&instance).is_empty());

    let here = json!({"auths": {registry.address(): login}});
    let output = cli(&instance, &here, &["run", "--rm", &reference, "cat", "/marker"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim_end(), "secret");
}

#[test]
fn prune_says_first_what_it_would_take_and_then_takes_that() {
    let registry = Registry::start(Access::Open);
    let instance = Instance::start();
    let references = ["older", "newer"].map(|name| {
        push(&registry, name, name);
        let reference = registry.reference(&format!("{name}:latest"));
        assert!(cli(&instance, &json!({}), &["image", "pull", &reference]).status.success());
        reference
    });
    let [older, newer] = &references;
    let prune = |args: &[&str]| {
        let output = cli(&instance, &json!({}), &[&["image", "prune"], args].concat());
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let planned = prune(&["--keep", "1", "--dry-run"]);
    assert!(planned.contains(older) && !planned.contains(newer), "{planned}");
    assert!(planned.contains("would free"), "{planned}");
    assert_eq!(images(&instance).len(), 2);
    let pruned = prune(&["--keep", "1"]);
    assert_eq!(pruned, planned.replace("would free", "freed"));
    assert_eq!(images(&instance).len(), 1);
    assert_eq!(prune(&["--older-than", "1h", "--max-size", "1MB"]), "no image is without use\n");
    assert!(prune(&["--max-size", "0MB"]).contains(newer));
    assert!(images(&instance).is_empty());
}

#[test]
fn a_path_that_cannot_be_imported_is_the_callers_fault_and_says_so() {
    let instance = Instance::start();
    let empty = instance.dir().join("empty");
    fs::create_dir(&empty).expect("a directory");
    for (path, said) in [("/absent/image.tar", "No such file"), ("/dev/null", "neither a file")] {
        let output = cli(&instance, &json!({}), &["image", "import", path, "x"]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(path) && told.contains(said) && told.contains("hint:"), "{told}");
    }
    let output = cli(&instance, &json!({}), &["image", "import", &empty.to_string_lossy(), "x"]);
    let told = text(&output.stderr);
    assert!(told.contains("holds no OCI layout") && told.contains("hint:"), "{told}");
}
