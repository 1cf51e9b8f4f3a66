//! A machine made from a Debian root is a Debian computer: what is installed stays, what is enabled
//! runs.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::{Builder, Instance, leftovers};
use tests::debian;

/// Rounds of stop and start.
const N_ROUNDS: usize = 10;

/// An instance that takes `boot-id` in its directory for the host's boot.
fn with_debian() -> Instance {
    let dir = tempfile::Builder::new().prefix("dormouse-test-").tempdir().expect("a directory");
    let boot_id = dir.path().join("boot-id");
    write_boot_id(&boot_id, 1);
    let instance = Builder::default()
        .arg(&format!("--boot-id-file={}", boot_id.display()))
        .in_dir(dir)
        .start();
    debian::import(&instance);
    instance
}

fn write_boot_id(path: &Path, number: u32) {
    fs::write(path, format!("00000000-0000-4000-8000-{number:012}\n")).expect("a file");
}

fn started(instance: &Instance, init: &Value) -> String {
    let guest = json!({"cpu_kind": "shared", "cpus": 1, "memory_mb": 512});
    let config = json!({"image": "debian", "init": init, "guest": guest});
    let id = instance.create_with(&json!({ "config": config }));
    instance.wait_for(&id, "started");
    id
}

/// A package `name` with one program that says `words`, as base64.
fn package(dir: &Path, name: &str, words: &str) -> String {
    let root = dir.join(name);
    fs::create_dir_all(root.join("DEBIAN")).expect("a directory");
    fs::create_dir_all(root.join("usr/bin")).expect("a directory");
    let control = format!(
        "Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n\
         Description: a program that says {words}\n"
    );
    fs::write(root.join("DEBIAN/control"), control).expect("a file");
    let program = testkit::image::script(&root.join("usr/bin"), name, &format!("echo {words}"));
    assert!(program.exists());
    let file: PathBuf = dir.join(format!("{name}.deb"));
    let built = Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .args([&root, &file])
        .output()
        .expect("dpkg-deb");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let encoded = Command::new("base64").arg("-w0").arg(&file).output().expect("base64");
    String::from_utf8(encoded.stdout).expect("base64 is text")
}

/// Installs the package inside.
fn install(instance: &Instance, id: &str, name: &str, words: &str) {
    let deb = package(instance.dir(), name, words);
    let script = format!("echo {deb} | base64 -d > /tmp/{name}.deb && dpkg -i /tmp/{name}.deb");
    drop(instance.sh(id, &script));
}

#[track_caller]
fn has(instance: &Instance, id: &str, name: &str, words: &str) {
    let script = format!("{name} && dpkg --status {name} | grep ^Status");
    assert_eq!(instance.sh(id, &script), format!("{words}\nStatus: install ok installed\n"));
}

#[test]
fn installed_packages_stay_through_rounds_a_lost_daemon_and_a_reboot_of_the_host() {
    let mut instance = with_debian();
    let id = started(&instance, &json!({"exec": ["/bin/sleep", "infinity"]}));
    install(&instance, &id, "greeter", "hello");
    for round in 0..N_ROUNDS {
        drop(instance.sh(&id, &format!("echo {round} >> /root/rounds")));
        instance.stop_machine(&id);
        instance.start_machine(&id);
        has(&instance, &id, "greeter", "hello");
    }
    let rounds: String = (0..N_ROUNDS).map(|round| format!("{round}\n")).collect();
    assert_eq!(instance.sh(&id, "cat /root/rounds"), rounds);

    instance.kill_control();
    install(&instance, &id, "second", "again");
    has(&instance, &id, "greeter", "hello");

    drop(instance.sh(&id, "sync"));
    reboot_host(&mut instance);
    instance.wait_for(&id, "started");
    has(&instance, &id, "greeter", "hello");
    has(&instance, &id, "second", "again");
    assert_eq!(instance.sh(&id, "dpkg --audit"), "");
}

/// What a host's reboot leaves: files, another boot id, none of our processes.
fn reboot_host(instance: &mut Instance) {
    instance.end_process();
    for shim in leftovers::shims_of(&instance.tag()) {
        testkit::instance::kill(shim.pid);
    }
    write_boot_id(&instance.dir().join("boot-id"), 2);
    instance.start_again();
}

/// A service that counts its starts.
const UNIT: &str = "[Unit]\nDescription=counts its starts\n\
    [Service]\nType=exec\nExecStartPre=/bin/sh -c 'echo start >> /var/starts'\n\
    ExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";

#[test]
fn a_unit_enabled_in_one_round_is_active_in_the_next() {
    let instance = with_debian();
    let id = with_systemd(&instance);
    let unit = "/etc/systemd/system/counter.service";
    drop(instance.sh(&id, &format!("printf '%s' \"{UNIT}\" > {unit}")));
    systemctl(&instance, &id, "enable --now counter.service");
    for round in 1..=4 {
        assert_eq!(systemctl(&instance, &id, "is-active counter.service"), "active\n");
        assert_eq!(instance.sh(&id, "wc -l < /var/starts"), format!("{round}\n"));
        drop(instance.post(&format!("{}/stop", Instance::path(&id)), &Value::Null).expect(200));
        instance.wait_for(&id, "stopped");
        let exit = tests::fixture::last_exit(&instance, &id)["exit_event"].clone();
        assert_eq!(exit["requested_stop"], true, "{exit}");
        instance.start_machine(&id);
        wait_for_systemd(&instance, &id);
    }
    let log = instance.sh(&id, "journalctl --boot --no-pager --unit counter.service");
    assert!(log.contains("Started counter.service"), "{log}");
}

#[test]
fn root_rules_systemd_from_a_command() {
    let instance = with_debian();
    let id = with_systemd(&instance);
    let status = systemctl(&instance, &id, "status --no-pager");
    assert!(status.contains("init.scope"), "{status}");
    assert_eq!(instance.sh(&id, "cat /proc/1/comm"), "systemd\n");
    // Where systemd puts whom it finds beside itself.
    assert_eq!(instance.sh(&id, "grep ^0:: /proc/self/cgroup"), "0::/init.scope\n");
    let run = "systemd-run --wait --pipe --quiet sh -c 'echo from a unit; exit 3'";
    let outcome = instance.exec(&id, &["/bin/sh", "-c", run]);
    assert_eq!(outcome["stdout"], "from a unit\n", "{outcome}");
    assert_eq!(outcome["exit_code"], 3, "{outcome}");
    for verb in ["stop", "start", "restart"] {
        systemctl(&instance, &id, &format!("{verb} systemd-journald.service"));
    }
    systemctl(&instance, &id, "daemon-reexec");
    wait_for_systemd(&instance, &id);
}

#[test]
fn a_command_beside_systemd_ends_as_any_other() {
    let instance = with_debian();
    let id = with_systemd(&instance);
    let killed = instance.exec(&id, &["/bin/sh", "-c", "kill -USR1 $$"]);
    assert_eq!(killed["exit_signal"], 10, "{killed}");
    let body = json!({"command": ["sleep", "4246"], "timeout": 1});
    let late = instance.post(&format!("{}/exec", Instance::path(&id)), &body);
    assert_eq!(late.refusal(408).code, "exec_timeout");
    testkit::eventually("the command that took too long is gone", || {
        let list = instance.get(&format!("{}/ps", Instance::path(&id))).expect(200);
        let processes = list.as_array().expect("a list");
        let has = |words: &str| processes.iter().any(|one| one["command"] == words);
        assert!(has("/sbin/init"), "{list}");
        (!has("sleep 4246")).then_some(())
    });
}

/// A machine whose program is systemd, once that has started everything.
fn with_systemd(instance: &Instance) -> String {
    let id = started(instance, &json!({"exec": ["/sbin/init"]}));
    wait_for_systemd(instance, &id);
    id
}

/// Waits until systemd has started what it was to start.
#[track_caller]
fn wait_for_systemd(instance: &Instance, id: &str) {
    testkit::eventually("systemd has started", || {
        let outcome = instance.exec(id, &["systemctl", "is-system-running"]);
        let state = outcome["stdout"].as_str().unwrap_or_default();
        matches!(state.trim(), "running" | "degraded").then_some(())
    });
}

/// Gives systemd an order, which it carries out; returns what it says.
#[track_caller]
fn systemctl(instance: &Instance, id: &str, words: &str) -> String {
    instance.sh(id, &format!("systemctl {words}"))
}
