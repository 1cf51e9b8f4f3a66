//! Inside a running machine: commands, processes, ports, use, and its own API.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{Instance, eventually};
use tests::fixture::{PROBE, started, wait_until_it_listens, with_busybox, with_probe};

fn exec(instance: &Instance, id: &str, body: &Value) -> testkit::Reply {
    instance.post(&format!("{}/exec", Instance::path(id)), body)
}

#[test]
fn exec_gives_both_outputs_and_the_exit_code() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let outcome = instance.exec(&id, &["/bin/sh", "-c", "echo out; echo err >&2; exit 9"]);
    assert_eq!(outcome["stdout"], "out\n");
    assert_eq!(outcome["stderr"], "err\n");
    assert_eq!(outcome["exit_code"], 9);
    let killed = instance.exec(&id, &["/bin/sh", "-c", "kill -KILL $$"]);
    assert_eq!((&killed["exit_code"], &killed["exit_signal"]), (&json!(137), &json!(9)));
}

#[test]
fn exec_of_a_missing_program_says_so() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let refusal = exec(&instance, &id, &json!({"command": ["/no/such"]})).refusal(412);
    assert_eq!(refusal.code, "not_found", "{refusal:?}");
    assert_eq!(exec(&instance, &id, &json!({"command": []})).refusal(400).code, "invalid_command");
    assert_eq!(instance.sh(&id, "echo still here"), "still here\n");
}

#[test]
fn exec_reads_its_input_to_the_end() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let text = "a line\n".repeat(40_000);
    let body = json!({"command": ["/bin/wc", "-c"], "stdin": text});
    let outcome = exec(&instance, &id, &body).expect(200);
    assert_eq!(outcome["stdout"].as_str().map(str::trim), Some("280000"), "{outcome}");
}

#[test]
fn exec_takes_environment_user_and_directory() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({"env": {"A": "machine"}}));
    let script = "echo $A $B $(id -u) $(pwd)";
    let body = json!({"command": ["/bin/sh", "-c", script], "env": {"B": "call"}, "user": "app",
        "working_dir": "/tmp"});
    assert_eq!(exec(&instance, &id, &body).expect(200)["stdout"], "machine call 1000 /tmp\n");
}

#[test]
fn exec_that_takes_too_long_is_killed() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let began = Instant::now();
    let body = json!({"command": ["/bin/sleep", "777"], "timeout": 1});
    assert_eq!(exec(&instance, &id, &body).refusal(408).code, "exec_timeout");
    assert!(began.elapsed() < Duration::from_secs(777), "the command was waited for");
    eventually("the command is gone", || {
        let ps = instance.get(&format!("{}/ps", Instance::path(&id))).expect(200);
        (!ps.to_string().contains("777")).then_some(())
    });
}

#[test]
fn exec_of_much_output_is_cut_and_says_so() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let outcome = instance.exec(&id, &["/bin/sh", "-c", "yes | head -c 30000000"]);
    assert_eq!(outcome["truncated"], true);
    assert_eq!(outcome["exit_code"], 0);
}

#[test]
fn many_commands_run_at_once_and_each_gets_its_own_answer() {
    let instance = with_busybox();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..24)
            .map(|n| {
                let (instance, id) = (&instance, &id);
                scope.spawn(move || (n, instance.sh(id, &format!("sleep 0.2; echo {n}"))))
            })
            .collect();
        for run in runs {
            let (n, output) = run.join().expect("the command ends");
            assert_eq!(output, format!("{n}\n"));
        }
    });
}

#[test]
fn processes_ports_and_use_are_shown() {
    let instance = with_busybox();
    let id = started(&instance, "exec nc -ll -p 8080 -e /bin/cat", &json!({}));
    let path = Instance::path(&id);
    eventually("the shell has become the server", || {
        let ps = instance.get(&format!("{path}/ps?sort_by=pid")).expect(200);
        let mut commands = ps.as_array().expect("a list").iter().map(|p| p["command"].to_string());
        commands.any(|command| command.contains("nc")).then_some(())
    });
    wait_until_it_listens(&instance, &id, 8080);
    let stats = instance.get(&format!("{path}/stats")).expect(200);
    assert!(stats["ram_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{stats}");
}

#[test]
fn a_machine_reads_itself_through_its_own_api_and_nobody_else() {
    let instance = with_probe();
    let id = started(&instance, "exec sleep 1000", &json!({}));
    let other = started(&instance, "exec sleep 1000", &json!({}));
    let ask = |method: &str, target: &str| {
        let outcome = instance.exec(&id, &[PROBE, "api", method, target]);
        let answer = outcome["stdout"].as_str().unwrap_or_default();
        let (status, body) = answer.split_once('\n').unwrap_or_else(|| panic!("{outcome}"));
        (status.parse::<u16>().expect("a status"), body.to_owned())
    };
    let (status, own) = ask("GET", &Instance::path(&id));
    assert_eq!(status, 200, "{own}");
    let own: Value = serde_json::from_str(&own).expect("a machine");
    assert_eq!(own["id"], id.as_str());

    for (method, target) in [
        ("GET", Instance::path(&other)),
        ("POST", format!("{}/stop", Instance::path(&other))),
        ("DELETE", format!("{}?force=true", Instance::path(&other))),
        ("DELETE", format!("{}?force=true", Instance::path(&id))),
        ("POST", format!("{}/exec", Instance::path(&id))),
        ("POST", "/v1/apps".to_owned()),
        ("POST", "/v1/images/import".to_owned()),
        ("GET", "/v1/tokens".to_owned()),
        ("POST", "/v1/tokens".to_owned()),
    ] {
        let (status, body) = ask(method, &target);
        assert!(matches!(status, 401 | 403 | 404), "{method} {target}: {status} {body}");
    }
    assert_eq!(instance.state(&other), "started");
}

#[test]
fn a_machine_may_stop_itself() {
    let instance = with_probe();
    let script = format!(
        "{PROBE} api POST /v1/apps/$FLY_APP_NAME/machines/$FLY_MACHINE_ID/stop; exec sleep 1000"
    );
    let id = instance.create_with(&json!({"config": tests::fixture::config(&script, &json!({}))}));
    instance.wait_for(&id, "stopped");
    let exit = tests::fixture::last_exit(&instance, &id);
    assert_eq!(exit["exit_event"]["requested_stop"], true);
}
