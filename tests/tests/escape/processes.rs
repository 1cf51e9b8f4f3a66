//! Other processes: the host's, other machines', the guest init; and more rights for one's own.

use crate::{attempt, prisoner};
use serde_json::json;
use testkit::Instance;
use tests::attempt::How::{Call, Probe, Sh};
use tests::attempt::{ABSENT, Attempt, DENIED, NOT_PERMITTED, Outside, READ_ONLY, SILENT};
use tests::{fixture, host};

const fn row(name: &'static str, script: &'static str, says: &'static [&'static str]) -> Attempt {
    Attempt { name, how: Sh(script), says, outside: Outside::Canary }
}

const NO_PROCESS: &str = "No such process";
const SEIZE: i64 = 0x4206;
const ATTACH: i64 = 16;

const fn trace(name: &'static str, arguments: &'static [i64]) -> Attempt {
    let (how, says) = (Call(libc::SYS_ptrace, arguments), &[NOT_PERMITTED]);
    Attempt { name, how, says, outside: Outside::Canary }
}

const ATTEMPTS: &[Attempt] = &[
    row("kill a process of the host", "kill -9 {pid}", &[NO_PROCESS]),
    row("find a process of the host", "ls -d /proc/{pid}", &[ABSENT]),
    row("find a file of the host", "cat {canary}", &[ABSENT]),
    row("find it from the root of PID 1", "cat /proc/1/root{canary}", &[ABSENT, DENIED]),
    row("find it far above PID 1", "cat /proc/1/root/../../../..{canary}", &[ABSENT, DENIED]),
    row("find it in PID 1's directory", "cat /proc/1/cwd/../../../..{canary}", &[ABSENT, DENIED]),
    row(
        "see a daemon or a shim",
        "ps | grep -E '[d]ormouse (up|control)|[d]ormouse-shim'",
        &[SILENT],
    ),
    trace("attach to PID 1", &[ATTACH, 1]),
    trace("seize PID 1", &[SEIZE, 1]),
    row("read PID 1's memory", "cat /proc/1/maps /proc/1/mem | grep .", &[SILENT]),
    row("write PID 1's memory", "echo x > /proc/1/mem", &[DENIED]),
    row("write PID 1's program", "echo x > /proc/1/exe", &[READ_ONLY, DENIED]),
    row("append to PID 1's program", "echo x >> /proc/1/exe", &[READ_ONLY, DENIED]),
    row("open PID 1's channel", "cat /proc/1/fd/3", &[DENIED, "No such device", ABSENT]),
    row("PID 1's environment", "tr '\\0' '\\n' < /proc/1/environ | grep .", &[SILENT]),
    row("be urgent", "renice -n -5 $$", &[DENIED, NOT_PERMITTED]),
    Attempt {
        name: "run in real time",
        how: Probe(&["real-time"]),
        says: &[NOT_PERMITTED],
        outside: Outside::Canary,
    },
    Attempt {
        name: "leave a chroot",
        how: Probe(&["chroot-out", "{canary}"]),
        says: &[ABSENT, NOT_PERMITTED],
        outside: Outside::Canary,
    },
    Attempt {
        name: "an abstract socket of the host",
        how: Probe(&["abstract", "dormouse-escape-{pid}"]),
        says: &["Connection refused"],
        outside: Outside::Canary,
    },
    row(
        "a descriptor of the host",
        "ls -l /proc/1/fd /proc/self/fd 2>/dev/null | grep -- '->' | \
         grep -vE -- '-> (/dev/null|socket:|pipe:|anon_inode:|/proc/[0-9]+/fd)'",
        &[SILENT],
    ),
    row("a variable of the host", "env | grep -iE 'cargo|nextest|path_of_the_host'", &[SILENT]),
    row(
        "capabilities beyond the set",
        "grep CapBnd /proc/self/status | grep -v 00000000a80425fb",
        &[SILENT],
    ),
    row("programs that gain rights", "grep NoNewPrivs /proc/self/status | grep -v 1", &[SILENT]),
    row(
        "a process without a filter",
        "grep -h '^Seccomp:' /proc/[0-9]*/status | grep -v 2",
        &[SILENT],
    ),
];

#[test]
fn no_process_outside_is_reached_and_no_right_gained() {
    attempt("processes", ATTEMPTS);
}

#[test]
fn a_program_of_roots_gives_its_user_no_rights() {
    let instance = fixture::with_probe();
    let id = prisoner(&instance);
    drop(instance.sh(&id, "cp /bin/guest-probe /bin/as-root && chmod 4755 /bin/as-root"));
    let geteuid = libc::SYS_geteuid.to_string();
    let body = json!({"command": ["/bin/as-root", "syscall", geteuid], "user": "app"});
    let outcome = instance.post(&format!("{}/exec", Instance::path(&id)), &body).expect(200);
    assert_eq!(outcome["stdout"], "made: 1000\n", "{outcome}");
}

#[test]
fn machines_do_not_see_each_others_processes() {
    let instance = fixture::with_probe();
    let here = prisoner(&instance);
    let there = fixture::started(&instance, "exec sleep 611", &json!({}));
    let seen = instance.sh(&here, "ps");
    assert!(seen.contains("sleep 600") && !seen.contains("sleep 611"), "{seen}");
    // It kills its own program, and with it the machine; that may be the answer.
    let body = json!({"command": ["/bin/sh", "-c", "kill -9 -1"]});
    drop(instance.post(&format!("{}/exec", Instance::path(&here)), &body));
    instance.wait_for(&here, "settled");
    assert_eq!(instance.state(&there), "started");
    assert_eq!(host::process(&instance, &there, "sleep").comm, "sleep");
}

#[test]
fn root_of_a_machine_is_nobody_on_the_host() {
    let instance = fixture::with_probe();
    let (here, there) = (prisoner(&instance), prisoner(&instance));
    let uid = |id: &str| {
        let status = host::of(host::process(&instance, id, "sleep").pid, "status");
        let line = status.lines().find(|line| line.starts_with("Uid:")).expect("a status");
        line.split_whitespace().nth(1).and_then(|uid| uid.parse::<u32>().ok()).expect("an id")
    };
    assert!(uid(&here) >= 65_536 && uid(&there) >= 65_536, "{} {}", uid(&here), uid(&there));
    assert!(uid(&here).abs_diff(uid(&there)) >= 65_536, "{} {}", uid(&here), uid(&there));
}
