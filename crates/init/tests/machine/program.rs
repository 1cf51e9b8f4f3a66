//! The life of the program beside its children, its log and its host.

use crate::exec::{STREAM, ended, read_until, sh, start};
use crate::harness::{Machine, code, program, shell, signal};
use guest_proto::{FromGuest, Orders, ToGuest};
use rustix::process::Signal;

#[test]
fn a_thousand_orphans_are_reaped() {
    let mut machine = Machine::shell(
        "i=0; while [ $i -lt 1000 ]; do (true &); i=$((i+1)); done; \
         while busybox grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do true; done; \
         echo reaped",
    );
    assert_eq!(machine.finish(), code(0));
    assert_eq!(machine.output(), "reaped\n");
}

#[test]
fn signals_reach_the_program_alone() {
    let mut machine = Machine::shell(
        "trap 'echo got; kill $child; exit 3' USR1; sleep 1000 & child=$!; echo ready; wait",
    );
    machine.expect_stdout("ready");
    machine.send(&ToGuest::Signal { signal: Signal::USR1.as_raw() });
    assert_eq!(machine.finish(), code(3));
    assert_eq!(machine.output(), "ready\ngot\n");
}

#[test]
fn a_program_that_ignores_signals_is_killed_in_the_end() {
    let mut machine =
        Machine::shell("trap '' TERM INT; echo ready; while true; do sleep 1000; done");
    machine.expect_stdout("ready");
    for number in [Signal::TERM.as_raw(), Signal::INT.as_raw(), 0, -1, 65, 1_000] {
        machine.send(&ToGuest::Signal { signal: number });
    }
    machine.send(&ToGuest::Signal { signal: Signal::KILL.as_raw() });
    assert_eq!(machine.finish(), signal(Signal::KILL));
}

#[test]
fn shutdown_asks_everybody() {
    let mut machine = Machine::shell("trap 'echo bye; exit 5' TERM; echo ready; sleep 1000 & wait");
    machine.expect_stdout("ready");
    machine.send(&ToGuest::Shutdown);
    assert_eq!(machine.finish(), code(5));
    assert_eq!(machine.output(), "ready\nbye\n");
}

#[test]
fn shutdown_without_a_program_ends_at_once() {
    let mut machine = Machine::greeted();
    machine.send(&ToGuest::Shutdown);
    assert_eq!(machine.init_exit_code(), Some(0));
}

#[test]
fn shutdown_kills_who_does_not_listen() {
    let mut machine = Machine::shell("trap '' TERM; echo ready; while true; do sleep 1000; done");
    machine.expect_stdout("ready");
    machine.send(&ToGuest::Shutdown);
    assert_eq!(machine.finish(), signal(Signal::KILL));
}

#[test]
fn for_want_of_ram_commands_die_before_the_program_before_init() {
    let init = std::fs::read_to_string("/proc/self/oom_score_adj").expect("a number");
    let init: i32 = init.trim().parse().expect("a number");
    let (program_goes, command_goes) = ((init + 100).min(1000), (init + 200).min(1000));
    let app = Orders { user: "app".to_owned(), ..shell("cat /proc/self/oom_score_adj") };
    let mut machine = Machine::started(app);
    assert_eq!(machine.finish(), code(0));
    assert_eq!(machine.output(), format!("{program_goes}\n"));

    let ask = "cd /proc; cat self/oom_score_adj; echo $(cat */oom_score_adj); echo over";
    let check = |mut machine: Machine, others: &str| {
        start(&mut machine, STREAM, sh(ask));
        let told = read_until(&mut machine, "over\n");
        // The others in the order of their pids, then those of this command.
        assert!(told.starts_with(&format!("{command_goes}\n{others} {command_goes} ")), "{told}");
    };
    check(Machine::started(program(&["sleep", "1000"])), &format!("{init} {program_goes}"));
    // The program and its agent.
    check(
        Machine::started_with_second(program(&["sleep", "1000"])),
        &format!("{program_goes} {init}"),
    );
}

#[test]
fn a_program_runs_where_proc_cannot_be_written() {
    let mut machine = Machine::shell("exec sleep 1000");
    start(&mut machine, STREAM, sh("busybox umount /proc && ls /proc; echo gone"));
    assert_eq!(read_until(&mut machine, "gone\n"), "gone\n");
    assert_eq!(ended(&mut machine, STREAM), code(0));
    start(&mut machine, STREAM, sh("echo runs"));
    assert_eq!(read_until(&mut machine, "runs\n"), "runs\n");
}

#[test]
fn all_output_comes_before_the_end() {
    let mut machine = Machine::shell("seq 1 20000; seq 1 20000 >&2; exit 4");
    assert_eq!(machine.finish(), code(4));
    let expected: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    assert!(machine.output() == expected, "all of standard output");
    assert!(machine.errors() == expected, "all of standard error");
}

#[test]
fn a_grandchild_that_holds_the_pipes_holds_nothing_up() {
    let mut machine = Machine::shell("sleep 1000 & echo done");
    assert_eq!(machine.finish(), code(0));
    assert_eq!(machine.output(), "done\n");
}

#[test]
fn a_grandchild_that_floods_the_pipes_holds_nothing_up() {
    let mut machine = Machine::shell("yes & exit 6");
    assert_eq!(machine.finish(), code(6));
}

#[test]
fn a_log_flood_costs_no_ram_and_slows_the_program() {
    let mut machine = Machine::shell("yes flood | head -c 50000000; echo; echo end");
    // The host does not read: the queue of init fills and the program has to wait.
    let pid = machine.init_pid();
    wait_until(|| read_bytes(pid) >= QUEUES_BYTES && is_sleeping(pid));
    assert!(resident_kib(pid) < 8 * 1024, "{} KiB with a reader that sleeps", resident_kib(pid));
    assert!(read_bytes(pid) < 4 * QUEUES_BYTES, "the program waits");
    machine.expect_stdout("\nend\n");
    let resident = resident_kib(pid);
    assert!(resident < 8 * 1024, "{resident} KiB after the flood");
    assert_eq!(machine.finish(), code(0));
    assert_eq!(machine.stdout.len(), 50_000_000 + "\nend\n".len());
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// What init reads before it stops: its own queue, and some of the socket's.
const QUEUES_BYTES: u64 = (256 + 64) * 1024;

fn read_bytes(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    line.and_then(|line| line.parse().ok()).unwrap_or(0)
}

fn is_sleeping(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.contains(") S ")
}

/// Looks again until it is so; a state of another process has no event to wait for.
#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "it is so in time");
        std::thread::yield_now();
    }
}

#[test]
fn a_lost_host_ends_the_machine() {
    let mut machine =
        Machine::shell("trap '' TERM HUP; echo ready; while true; do sleep 1000; done");
    machine.expect_stdout("ready");
    machine.hang_up();
    assert_eq!(machine.init_exit_code(), Some(71));
}

#[test]
fn bytes_that_are_no_frame_end_the_machine() {
    let mut machine = Machine::shell("echo ready; sleep 1000");
    machine.expect_stdout("ready");
    machine.send_raw(b"DmF1 this is no frame, whatever it says at its start");
    assert_eq!(machine.init_exit_code(), Some(71));
}

#[test]
fn a_frame_may_come_in_halves() {
    let mut machine = Machine::greeted();
    let mut bytes = Vec::new();
    let boot = ToGuest::Boot(Box::new(shell("echo whole")));
    guest_proto::encode_message(1, &boot, &mut bytes).expect("a small message");
    for byte in bytes {
        machine.send_raw(&[byte]);
    }
    assert_eq!(machine.finish(), code(0));
    assert_eq!(machine.output(), "whole\n");
}

#[test]
fn older_epochs_are_not_heard_and_newer_ones_are_followed() {
    let mut machine = Machine::shell("echo ready; sleep 1000");
    machine.expect_stdout("ready");
    machine.epoch = 9;
    machine.send(&ToGuest::Hello { version: 1, version_min: 1 });
    machine.expect(|message| matches!(message, FromGuest::Hello { booted: true, .. }));
    machine.epoch = 3;
    machine.send(&ToGuest::Signal { signal: Signal::KILL.as_raw() });
    machine.epoch = 9;
    machine.send(&ToGuest::Signal { signal: Signal::TERM.as_raw() });
    assert_eq!(machine.finish(), signal(Signal::TERM));
}

#[test]
fn unknown_messages_are_named() {
    let mut machine = Machine::greeted();
    for (text, what) in [
        (r#"{"type":"dance","steps":3}"#, "dance"),
        (r#"{"type":"signal"}"#, "signal"),
        ("not json", ""),
    ] {
        let mut frame = Vec::new();
        guest_proto::encode(1, guest_proto::FrameKind::Control, text.as_bytes(), &mut frame)
            .expect("a small frame");
        machine.send_raw(&frame);
        machine.expect(|message| *message == FromGuest::Unknown { what: what.to_owned() });
    }
}
