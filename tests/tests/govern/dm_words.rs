//! `dm` in a machine: each verb does what it says, as seen from outside.

use crate::desk::running;
use serde_json::json;
use testkit::{Instance, eventually};
use tests::fixture::with_busybox;

/// Waits for nothing.
const IDLE: &str = "exec sleep 1000";

#[test]
fn each_verb_is_seen_outside() {
    let instance = with_busybox();
    let policy = json!({"facts": {"progress": {"type": "double", "default": 0.0}}});
    let machine = running(&instance, "worker", &policy, IDLE);

    machine.sh("dm set progress=0.5 scratch.note='two words'");
    assert_eq!(machine.fact("progress"), 0.5);
    assert_eq!(machine.sh("dm get progress; dm get scratch.note"), "0.5\ntwo words\n");
    machine.sh("dm unset scratch.note");
    assert_eq!(machine.sh("dm get"), "progress=0.5\n");

    machine.sh("dm phase 'half way'; dm done");
    let intent = machine.get("/intent");
    assert_eq!(
        (intent["phase"].as_str(), intent["done"].as_bool()),
        (Some("half way"), Some(true))
    );

    machine.sh("dm hold job --for 5m --reason busy");
    assert_eq!(machine.get("/holds")["holds"]["job"]["reason"], "busy");
    assert!(machine.sh("dm why").starts_with("awake because hold `job` (busy) keeps it so"));
    machine.sh("dm release job");
    assert_eq!(machine.sh("dm hold"), "");

    machine.sh("dm alarm often --every 1h; dm alarm night --cron '0 2 * * *' --tz Europe/Rome");
    machine.sh("dm alarm soon --at +30m; dm unalarm often");
    let alarms = machine.get("/alarms");
    assert_eq!(alarms["alarms"]["night"]["tz"], "Europe/Rome");
    assert_eq!(machine.sh("dm alarm | cut -f 1"), "night\nsoon\n");

    assert_eq!(machine.sh("dm policy --json | grep -c progress"), "1\n");
    machine.check_trace();
}

#[test]
fn messages_go_through_a_shell_script() {
    let instance = with_busybox();
    let machine = running(&instance, "worker", &json!({}), IDLE);
    machine.post(&json!({"body": "first"}));
    machine.post(&json!({"body": "second\tone\n"}));
    let script = "dm inbox --take 2 | while IFS='\t' read -r seq from text; do \
                  echo \"$from says $text\"; dm ack $seq; done";
    assert_eq!(machine.sh(script), "owner says first\nowner says second\\tone\\n\n");
    assert_eq!(machine.get("/inbox")["depth"], 0);
    assert_eq!(machine.sh("dm inbox --take 1 --wait 1s"), "");
}

#[test]
fn a_wait_for_a_message_ends_when_it_comes() {
    let instance = with_busybox();
    let machine =
        running(&instance, "worker", &json!({}), "dm inbox --take 1 --wait 1h; exec sleep 1000");
    machine.post(&json!({"body": "here"}));
    eventually("the message", || {
        instance.log(&machine.id).contains(&"1\towner\there".to_owned()).then_some(())
    });
}

/// A connection to `/.fly/api` once kept its place in the daemon after its end.
#[test]
fn a_machine_calls_its_host_as_often_as_it_likes() {
    let instance = with_busybox();
    let machine = running(&instance, "caller", &json!({}), IDLE);
    let script = "n=0; while [ $n -lt 200 ]; do dm beat || exit 1; n=$((n+1)); done; echo $n";
    assert_eq!(machine.sh(script), "200\n");
}

#[test]
fn a_call_waits_for_a_daemon_that_comes_back() {
    let instance = with_busybox();
    let script =
        "while dm get --json >/tmp/answer 2>&1; do :; done; cat /tmp/answer; exec sleep 1000";
    let machine = running(&instance, "caller", &json!({}), script);
    for _ in 0..3 {
        instance.kill_control();
    }
    machine.sh("dm set scratch.after=1");
    assert_eq!(machine.fact("scratch.after"), 1);
    // An answer that had begun when the daemon died is lost; no other call failed.
    let told: Vec<_> =
        instance.log(&machine.id).into_iter().filter(|line| line.contains("error")).collect();
    assert!(told.len() <= 1, "{told:?}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let instance = with_busybox();
    let machine = running(&instance, "worker", &json!({}), IDLE);
    let run = |line: &str| instance.exec(&machine.id, &["/bin/sh", "-c", line]);
    for (line, code, words) in [
        ("dm get nothing", 1, "dm: "),
        ("dm sleep --until 'inbox.deth > 0'", 1, "hint: did you mean `inbox.depth`?"),
        ("dm hold x --for 2h", 1, "at most 1 h"),
        ("dm hold x", 2, "hint: `dm hold` or `dm hold NAME --for SPAN"),
        ("DORMOUSE_API=/nowhere dm beat", 3, "no answer from /nowhere"),
    ] {
        let outcome = run(line);
        assert_eq!(outcome["exit_code"], code, "{line}: {outcome}");
        let told = outcome["stderr"].as_str().expect("text");
        assert!(told.contains(words), "{line}: {told}");
    }
}

#[test]
fn the_tool_is_there_for_every_user_and_not_on_the_disk() {
    let instance = with_busybox();
    let machine = running(&instance, "worker", &json!({}), IDLE);
    assert_eq!(machine.sh("command -v dm; readlink /.fly/dm"), "/.fly/bin/dm\n/.fly/bin/dm\n");
    let as_nobody = json!({"command": ["/bin/sh", "-c", "dm beat && id -u"], "user": "65534"});
    let outcome = instance.post(&format!("{}/exec", Instance::path(&machine.id)), &as_nobody);
    assert_eq!(outcome.expect(200)["stdout"], "65534\n");
    assert_eq!(machine.sh("touch /.fly/bin/x 2>/dev/null || echo no"), "no\n");
}
