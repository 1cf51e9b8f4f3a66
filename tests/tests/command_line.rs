//! The command line, against a real daemon: raw calls, new versions, labels, leases, the doctor.

use serde_json::{Value, json};
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Output;
use testkit::instance::APP;
use testkit::{Instance, eventually};
use tests::fixture::{with_busybox, with_image};

/// Public port of the service.
const PORT: u16 = 8080;

#[track_caller]
fn done(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// What was refused, with this exit code, in words.
#[track_caller]
fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn cli(instance: &Instance, words: &[&str]) -> String {
    done(&instance.cli(words))
}

#[track_caller]
fn cli_json(instance: &Instance, words: &[&str]) -> Value {
    let text = cli(instance, &[words, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A stopped machine.
fn machine(instance: &Instance) -> String {
    instance.ensure_app();
    let config = json!({"image": "busybox", "init": {"exec": ["/bin/sleep", "infinity"]},
        "env": {"KEPT": "1", "DROPPED": "2"}});
    let id = instance.create_with(&json!({"config": config, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    id
}

#[test]
fn any_call_can_be_made_as_it_is() {
    let instance = with_busybox();
    instance.ensure_app();
    let apps: Value =
        serde_json::from_str(&cli(&instance, &["api", "get", "/v1/apps"])).expect("JSON");
    assert_eq!(apps["total_apps"], 1);
    let body = r#"{"app_name": "raw", "org_slug": "personal"}"#;
    cli(&instance, &["api", "POST", "/v1/apps", "--data", body]);
    let file = instance.dir().join("body.json");
    std::fs::write(&file, body.replace("raw", "file")).expect("a file");
    cli(&instance, &["api", "POST", "/v1/apps", "--data", &format!("@{}", file.display())]);
    let mut from_stdin = instance.command();
    from_stdin.args(["api", "POST", "/v1/apps", "-d", "-"]).stdin(std::process::Stdio::piped());
    let mut child = from_stdin.spawn().expect("dormouse");
    let body = body.replace("raw", "stdin");
    child.stdin.take().expect("a pipe").write_all(body.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
    assert!(cli(&instance, &["app", "ls"]).contains("stdin"));
    let with_head = instance.cli(&["api", "GET", "/v1/apps/file", "--include"]);
    assert!(String::from_utf8_lossy(&with_head.stderr).starts_with("200 OK\n"), "{with_head:?}");
    let description: Value =
        serde_json::from_str(&cli(&instance, &["api", "GET", "/v1/openapi.json"])).expect("JSON");
    assert!(description["paths"]["/v1/apps"].is_object());
}

#[test]
fn raw_calls_that_cannot_be_are_told_what_to_do() {
    let instance = with_busybox();
    let lost = refused(&instance.cli(&["api", "GET", "/v1/nowhere"]), 4);
    assert!(lost.contains("hint: "), "{lost}");
    let unknown = refused(&instance.cli(&["api", "GET", "/v1/apps/nobody"]), 4);
    assert!(unknown.contains("hint: "), "{unknown}");
    let broken = refused(&instance.cli(&["api", "POST", "/v1/apps", "--data", "{a: 1}"]), 1);
    assert!(broken.contains("is not JSON"), "{broken}");
    let relative = refused(&instance.cli(&["api", "GET", "v1/apps"]), 1);
    assert!(relative.contains("is not a path"), "{relative}");
    let absent = refused(&instance.cli(&["api", "POST", "/v1/apps", "--data", "@/no/such"]), 1);
    assert!(absent.contains("cannot read /no/such"), "{absent}");
    let wordy = instance.cli(&["api", "DELETE", "/v1/apps/nobody", "--json"]);
    let body: Value = serde_json::from_str(&refused(&wordy, 4)).expect("an error as JSON");
    assert_eq!(body["code"], "app_not_found");
}

#[test]
fn an_update_changes_what_its_options_name() {
    let instance = with_busybox();
    let id = machine(&instance);
    let words = [
        "machine",
        "update",
        &id,
        "--skip-launch",
        "--env",
        "ADDED=3",
        "--memory",
        "512",
        "--egress-default",
        "deny",
        "--egress-rule",
        "allow *.example.com tcp 80,8000-8999",
    ];
    let updated = cli_json(&instance, &words);
    let config = &updated["config"];
    assert_eq!(config["env"], json!({"KEPT": "1", "DROPPED": "2", "ADDED": "3"}));
    assert_eq!(config["guest"]["memory_mb"], 512);
    assert_eq!(config["init"]["exec"], json!(["/bin/sleep", "infinity"]));
    assert_eq!(config["egress"]["default"], "deny");
    assert_eq!(config["egress"]["rules"][0]["to"], "*.example.com");
    instance.wait_for(&id, "stopped");
    // A variable that the caller has not is taken away.
    let words = ["machine", "update", &id, "--skip-launch", "--env", "DROPPED"];
    let config = cli_json(&instance, &words)["config"].clone();
    assert_eq!(config["env"], json!({"KEPT": "1", "ADDED": "3"}));
    instance.wait_for(&id, "stopped");
    assert_eq!(
        cli_json(&instance, &["machine", "versions", &id]).as_array().map(Vec::len),
        Some(3)
    );
    let old = updated["version"].as_str().expect("a version");
    let words = ["machine", "update", &id, "--skip-launch", "--cpus", "2", "--if-version", old];
    let stale = refused(&instance.cli(&words), 1);
    assert!(stale.contains("hint: "), "{stale}");
    let file = instance.dir().join("config.json");
    std::fs::write(&file, r#"{"image": "busybox", "init": {"exec": ["/bin/true"]}}"#)
        .expect("a file");
    let file = file.display().to_string();
    let words = ["machine", "update", &id, "--skip-launch", "--config", &file];
    assert_eq!(cli_json(&instance, &words)["config"]["env"], Value::Null);
}

#[test]
fn the_holder_of_a_lease_says_so() {
    let instance = with_busybox();
    let id = machine(&instance);
    let nonce = cli(&instance, &["machine", "lease", "take", &id, "--ttl", "60"]);
    let nonce = nonce.trim();
    assert!(cli(&instance, &["machine", "lease", "show", &id]).contains("owner:"));
    let held = refused(&instance.cli(&["machine", "labels", &id, "--set", "role=worker"]), 1);
    assert!(held.contains("lease"), "{held}");
    let words = ["machine", "labels", &id, "--set", "role=worker", "--lease", nonce];
    assert_eq!(cli_json(&instance, &words), json!({"role": "worker"}));
    cli(&instance, &["machine", "lease", "release", &id, "--lease", nonce]);
    let words = ["machine", "labels", &id, "--unset", "role"];
    assert_eq!(cli_json(&instance, &words), json!({}));
    cli(&instance, &["machine", "cordon", &id]);
    assert_eq!(cli_json(&instance, &["machine", "show", &id])["cordoned"], true);
    cli(&instance, &["machine", "uncordon", &id]);
}

#[test]
fn secrets_are_set_and_shown_to_whoever_asks_for_them() {
    let instance = with_busybox();
    instance.ensure_app();
    let file = instance.dir().join("value");
    std::fs::write(&file, "from a file").expect("a file");
    let entry = format!("B=@{}", file.display());
    cli(&instance, &["secret", "set", "-a", APP, "A=one=1", &entry]);
    let list = cli(&instance, &["secret", "ls", "-a", APP]);
    assert!(list.contains('A') && !list.contains("one=1"), "{list}");
    let shown = cli(&instance, &["secret", "ls", "-a", APP, "--show"]);
    assert!(shown.contains("one=1") && shown.contains("from a file"), "{shown}");
    cli(&instance, &["secret", "unset", "-a", APP, "A"]);
    let left = cli_json(&instance, &["secret", "ls", "-a", APP]);
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    cli(&instance, &["secret-key", "generate", "-a", APP, "key", "hs256"]);
    let file = file.display().to_string();
    let signature = cli(&instance, &["secret-key", "sign", "-a", APP, "key", &file]);
    cli(&instance, &["secret-key", "verify", "-a", APP, "key", &file, signature.trim()]);
    refused(&instance.cli(&["secret-key", "verify", "-a", APP, "key", &file, "AAAA"]), 1);
}

#[test]
fn the_doctor_names_who_has_the_port_of_a_service() {
    let server = testkit::instance::binary("guest-server");
    let instance = with_image(testkit::Builder::default(), &[("bin/guest-server", &server)]);
    let stranger = TcpListener::bind((instance.door_address(), PORT)).expect("the port is free");
    instance.ensure_app();
    let config = json!({"image": "busybox", "init": {"exec": ["/bin/guest-server", "http", "80"]},
        "services": [{"internal_port": 80, "ports": [{"port": PORT, "handlers": ["http"]}]}]});
    let id = instance.create_with(&json!({"config": config, "skip_launch": true}));
    instance.wait_for(&id, "stopped");
    let own = format!("(process {})", std::process::id());
    // What else the doctor finds is the host's own affair, and so is its exit code.
    let doctor = || String::from_utf8_lossy(&instance.cli(&["doctor"]).stdout).into_owned();
    let line = eventually("the doctor names this process", || {
        let said = doctor();
        said.lines().find(|line| line.contains(&own)).map(str::to_owned)
    });
    assert!(line.contains(&format!(":{PORT}/tcp")) && line.contains(APP), "{line}");
    drop(stranger);
    eventually("nothing is said of it any more", || (!doctor().contains(&own)).then_some(()));
}
