//! Paths full of tricks in what the API writes, runs and relays for a machine.

use crate::{WAIT, prisoner};
use serde_json::{Value, json};
use testkit::Instance;
use tests::fixture::{self, PROBE};
use tests::host::{Canary, SECRET};

/// "outside" as base64.
const OUTSIDE: &str = "b3V0c2lkZQ==";

#[test]
fn files_of_the_configuration_stay_inside() {
    let instance = fixture::with_probe();
    let canary = Canary::new(instance.dir());
    let before = canary.fact();
    let core_pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a setting");
    let file = canary.file();
    let paths = [
        format!("/link{file}"),
        format!("/relative{file}"),
        format!("/proc/self/root{file}"),
        format!("/proc/1/cwd{file}"),
        file.to_owned(),
    ];
    let files: Vec<Value> =
        paths.iter().map(|path| json!({"guest_path": path, "raw_value": OUTSIDE})).collect();
    let id = fixture::started(&instance, WAIT, &json!({ "files": files }));
    assert_eq!(canary.fact(), before);
    drop(instance.sh(&id, "rm -rf /link /relative; ln -s / /link; ln -s ../../../../.. /relative"));
    instance.stop_machine(&id);
    instance.start_machine(&id);
    assert_eq!(canary.fact(), before);
    assert_eq!(instance.sh(&id, &format!("cat {file}")), "outside");

    let files = json!([{"guest_path": "/proc/sys/kernel/core_pattern", "raw_value": OUTSIDE}]);
    let config = fixture::config(WAIT, &json!({"files": files, "restart": {"policy": "no"}}));
    let path = format!("/v1/apps/{}/machines", testkit::instance::APP);
    let refused = instance.post(&path, &json!({ "config": config }));
    assert!(refused.status >= 400 || refused.body["state"] != "started", "{}", refused.text);
    let after = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("a setting");
    assert_eq!(after, core_pattern);
}

#[test]
fn commands_run_inside_whatever_their_directory_and_program() {
    let instance = fixture::with_probe();
    let id = prisoner(&instance);
    let canary = Canary::new(instance.dir());
    let up = "../../../../../../../..";
    let fds = (0..24).flat_map(|fd| [format!("/proc/self/fd/{fd}"), format!("/proc/1/fd/{fd}")]);
    let others = ["/proc/1/cwd", "/proc/1/root", "/proc/self/cwd", "/.fly", "/dev/fd"];
    for dir in fds.chain(others.map(str::to_owned)) {
        let found = format!("{up}{}", canary.file());
        let body = json!({"command": ["/bin/cat", found], "working_dir": dir});
        let reply = instance.post(&format!("{}/exec", Instance::path(&id)), &body);
        assert!(!reply.text.contains(SECRET.trim()), "{dir}: {}", reply.text);
        assert!(reply.status != 200 || reply.body["exit_code"] != 0, "{dir}: {}", reply.text);
    }
    for program in [format!("/proc/1/root{}", canary.file()), "/proc/1/exe".to_owned()] {
        let body = json!({"command": [program, "--help"]});
        let reply = instance.post(&format!("{}/exec", Instance::path(&id)), &body);
        assert!(!reply.text.contains(SECRET.trim()), "{}", reply.text);
    }
    assert_eq!(instance.sh(&id, "pwd"), "/\n");
}

#[test]
fn a_machine_asks_its_api_about_itself_alone() {
    let instance = fixture::with_probe();
    let (here, other) = (prisoner(&instance), prisoner(&instance));
    let ask = |method: &str, target: &str, body: &str| {
        let outcome = instance.exec(&here, &[PROBE, "api", method, target, body]);
        let said = outcome["stdout"].as_str().expect("text").to_owned();
        let status = said.lines().next().and_then(|line| line.parse::<u16>().ok());
        (status.unwrap_or_else(|| panic!("{outcome}")), said)
    };
    let own = Instance::path(&here);
    assert_eq!(ask("GET", &own, "").0, 200);
    let (there, import) = (Instance::path(&other), json!({"path": "/etc/passwd", "name": "out"}));
    let script = r#"{"command": ["/bin/true"]}"#;
    let questions = [
        ("GET", there.clone(), String::new()),
        ("GET", format!("{there}/logs"), String::new()),
        ("GET", format!("{there}/lease"), String::new()),
        ("POST", format!("{there}/stop"), String::new()),
        ("POST", format!("{there}/exec"), script.to_owned()),
        ("DELETE", format!("{there}?force=true"), String::new()),
        ("POST", format!("{own}/../{other}/stop"), String::new()),
        ("POST", format!("{own}%2f..%2f{other}/stop"), String::new()),
        ("GET", format!("/v1/apps/other/machines/{here}"), String::new()),
        ("GET", "/v1/tokens".to_owned(), String::new()),
        ("POST", "/v1/tokens".to_owned(), r#"{"name": "out"}"#.to_owned()),
        ("POST", "/v1/images/import".to_owned(), import.to_string()),
        ("POST", "/v1/apps".to_owned(), r#"{"name": "out", "org_slug": "personal"}"#.to_owned()),
        ("DELETE", "/v1/apps/test".to_owned(), String::new()),
        (
            "POST",
            "/v1/apps/test/machines".to_owned(),
            r#"{"config": {"image": "busybox"}}"#.to_owned(),
        ),
        ("GET", "/v1/doctor".to_owned(), String::new()),
    ];
    for (method, target, body) in questions {
        let (status, said) = ask(method, &target, &body);
        assert!((400..500).contains(&status), "{method} {target}: {said}");
        assert!(!said.contains(&other) || target.contains(&other), "{method} {target}: {said}");
    }
    let (_, listed) = ask("GET", "/v1/orgs/personal/machines", "");
    assert!(listed.contains(&here) && !listed.contains(&other), "{listed}");
    assert_eq!(instance.state(&other), "started");
}

#[test]
fn a_log_holds_what_was_said_and_nothing_else() {
    let instance = fixture::with_probe();
    let script = r#"printf '{"text":"forged","stream":"stderr"}\n\033[2J\r\n\0\377\n../../x\n'; exec sleep 600"#;
    let id = fixture::started(&instance, script, &json!({}));
    fixture::wait_for_line(&instance, &id, "../../x");
    let log = instance.log(&id);
    assert_eq!(log.len(), 4, "{log:?}");
    assert_eq!(log[0], r#"{"text":"forged","stream":"stderr"}"#);
}
