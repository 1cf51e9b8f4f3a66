//! Programs that cannot run, or do not behave.

use crate::refused;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};
use testkit::{Builder, Instance, image};
use tests::fixture;

/// The first bytes of a program for another architecture (AArch64, ELF machine 183).
const FOREIGN_ELF: [u8; 64] = {
    let mut header = [0; 64];
    let magic = *b"\x7fELF\x02\x01\x01";
    let mut byte_idx = 0;
    while byte_idx < magic.len() {
        header[byte_idx] = magic[byte_idx];
        byte_idx += 1;
    }
    header[16] = 2;
    header[18] = 183;
    header[20] = 1;
    header[52] = 64;
    header
};

/// An instance whose image has a foreign program, a script without a first line, and an empty file.
fn with_odd_programs() -> Instance {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, content).expect("a file");
        path
    };
    let foreign = write("foreign", &FOREIGN_ELF);
    let plain = write("plain", b"echo no interpreter is named\n");
    let empty = write("empty", b"");
    let lost = image::script(dir.path(), "lost", "true");
    fs::write(&lost, "#!/no/such/interpreter\n").expect("a file");
    let extra = [
        ("bin/foreign", foreign.as_path()),
        ("bin/plain", plain.as_path()),
        ("bin/empty", empty.as_path()),
        ("bin/lost", lost.as_path()),
    ];
    fixture::with_image(Builder::default(), &extra)
}

#[test]
fn programs_that_cannot_run_leave_a_failed_machine_that_says_why() {
    let instance = with_odd_programs();
    instance.ensure_app();
    let check = |more: Value, code: &str| {
        let mut config = json!({"image": "busybox", "restart": {"policy": "no"}});
        config["init"] = more.clone();
        let id = instance.create_with(&json!({ "config": config }));
        instance.wait_for(&id, "failed");
        let shown = instance.get(&Instance::path(&id)).expect(200);
        assert_eq!(shown["failure"]["code"], code, "{more}: {}", shown["failure"]);
        assert!(shown["failure"]["message"].as_str().is_some_and(|text| text.len() > 10));
        let again = instance.post(&format!("{}/start", Instance::path(&id)), &Value::Null);
        let refusal = refused(again, 412, code);
        assert!(refusal.error.contains("machine failed to start"), "{}", refusal.error);
        fixture::destroy(&instance, &id);
    };
    check(json!({"exec": ["/no/such/program"]}), "not_found");
    check(json!({"exec": ["no-such-program"]}), "not_found");
    check(json!({"exec": ["/etc/passwd"]}), "not_executable");
    check(json!({"exec": ["/bin"]}), "not_executable");
    check(json!({"exec": ["/bin/foreign"]}), "not_executable");
    check(json!({"exec": ["/bin/empty"]}), "not_executable");
    check(json!({"exec": ["/bin/plain"]}), "not_executable");
    check(json!({"exec": ["/bin/lost"]}), "not_executable");
    check(json!({"exec": ["/bin/true"], "user": "nobody-has-this"}), "unknown_user");
    check(json!({"exec": ["/bin/true"], "working_dir": "/etc/passwd/x"}), "working_dir");
    check(json!({}), "empty_argv");
}

#[test]
fn a_program_that_ends_at_once_has_ended_with_its_code() {
    let instance = fixture::with_busybox();
    let no_restart = json!({"restart": {"policy": "no"}});
    for (script, code, signal) in [("exit 0", 0, -1), ("exit 7", 7, -1), ("kill -6 $$", 134, 6)] {
        let config = fixture::config(script, &no_restart);
        let id = instance.create_with(&json!({ "config": config }));
        instance.wait_for(&id, "stopped");
        let exit = fixture::last_exit(&instance, &id)["exit_event"].clone();
        assert_eq!(exit["exit_code"], code, "{script}: {exit}");
        assert_eq!(exit["guest_signal"], signal, "{script}: {exit}");
        assert_eq!(exit["requested_stop"], false, "{script}: {exit}");
    }
}

#[test]
fn a_program_that_ignores_signals_is_killed_after_its_time() {
    let instance = fixture::with_busybox();
    let script = "trap '' INT TERM HUP QUIT USR1; echo deaf; while :; do sleep 1; done";
    let id = fixture::started(&instance, script, &json!({"stop_config": {"timeout": "1s"}}));
    fixture::wait_for_line(&instance, &id, "deaf");
    let began = Instant::now();
    drop(instance.post(&format!("{}/stop", Instance::path(&id)), &Value::Null).expect(200));
    instance.wait_for(&id, "stopped");
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    let exit = fixture::last_exit(&instance, &id)["exit_event"].clone();
    assert_eq!(
        (&exit["guest_signal"], &exit["requested_stop"]),
        (&json!(9), &json!(true)),
        "{exit}"
    );
    fixture::destroy(&instance, &id);
}
