//! Programs that are themselves an init.

use crate::exec::{STREAM, check_refused, ended, idle_as_pid1, read_until, sh, start};
use crate::harness::{Machine, code, program, shell, signal};
use crate::questions::processes;
use guest_proto::message::{ExecOrders, StartFailure};
use guest_proto::{FromGuest, Orders, StreamId, ToGuest};
use rustix::process::Signal;

fn as_pid1(orders: Orders) -> Orders {
    Orders { pid1: true, ..orders }
}

#[test]
fn the_program_is_pid_1_of_its_own_namespace() {
    let mut machine = Machine::greeted_with_second();
    let script = "trap 'exit 3' TERM; echo err >&2; echo $$ $A; sleep 1000 & wait";
    let env = [("A".to_owned(), "b".to_owned())].into();
    let started = machine.boot(as_pid1(Orders { env, ..shell(script) }));
    assert!(matches!(started, FromGuest::Started { pid } if pid > 1), "{started:?}");
    machine.expect_stdout("1 b\n");
    machine.send(&ToGuest::Signal { signal: Signal::TERM.as_raw() });
    assert_eq!(machine.finish(), code(3));
    assert_eq!(machine.errors(), "err\n");
}

#[test]
fn a_program_that_cannot_become_pid_1_says_why() {
    let mut machine = Machine::greeted_with_second();
    match machine.boot(as_pid1(program(&["nonesuch"]))) {
        FromGuest::StartFailed { reason: StartFailure::NotFound, .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(machine.init_exit_code(), Some(0));
}

#[test]
fn its_terminal_is_its_console() {
    let mut machine = Machine::greeted_with_second();
    machine.boot(as_pid1(Orders { tty: true, ..shell("tty; echo hello > /dev/console") }));
    assert_eq!(machine.finish(), code(0));
    assert_eq!(machine.output(), "/dev/pts/0\r\nhello\r\n");
}

#[test]
fn without_a_second_process_there_is_no_second_pid_1() {
    let mut machine = Machine::greeted();
    match machine.boot(as_pid1(program(&["true"]))) {
        FromGuest::StartFailed { reason: StartFailure::Other, message } => {
            assert!(message.contains("second PID 1"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn commands_are_among_the_processes_of_the_program() {
    let mut machine = idle_as_pid1();
    let places = "for ns in pid mnt; do for p in self 1; do readlink /proc/$p/ns/$ns; done; done";
    start(&mut machine, STREAM, sh(&format!("{places}; echo over")));
    let told = read_until(&mut machine, "over\n");
    let told: Vec<&str> = told.lines().collect();
    assert_eq!((told[0], told[2]), (told[1], told[3]), "{told:?}");
    assert_eq!(ended(&mut machine, STREAM), code(0));
    start(&mut machine, STREAM, sh("busybox tr '\\0' ' ' < /proc/1/cmdline; echo; echo $PPID"));
    let told = read_until(&mut machine, "\n2\n");
    assert!(told.starts_with("/bin/sh -c while true"), "{told}");
}

#[test]
fn orphans_of_a_command_are_the_programs() {
    let mut machine = idle_as_pid1();
    let orphan = "(setsid sleep 4243 >/dev/null 2>&1 & echo $! >/tmp/orphan)";
    let parent = "until busybox grep -q 'PPid:.1$' /proc/$(cat /tmp/orphan)/status; do true; done";
    start(&mut machine, STREAM, sh(&format!("{orphan}; {parent}; echo adopted")));
    read_until(&mut machine, "adopted\n");
    assert_eq!(ended(&mut machine, STREAM), code(0));
}

#[test]
fn the_pid_told_is_the_one_that_the_host_sees() {
    let mut machine = idle_as_pid1();
    let argv = ["sleep", "4244"].map(str::to_owned).to_vec();
    let exec = ExecOrders { argv, ..ExecOrders::default() };
    machine.send(&ToGuest::Exec { stream: STREAM, exec });
    let is_it = |message: &FromGuest| matches!(message, FromGuest::ExecStarted { .. });
    let FromGuest::ExecStarted { pid, .. } = machine.expect(is_it) else { unreachable!() };
    let processes = processes(&mut machine);
    let command = processes.iter().find(|process| process.pid == pid).expect("it is listed");
    assert_eq!(command.command, "sleep 4244");
}

#[test]
fn a_plan_larger_than_a_socket_takes_arrives() {
    let mut machine = idle_as_pid1();
    let env = [("LONG".to_owned(), "x".repeat(100_000))];
    let more = (0..10).map(|n| (format!("LONG{n}"), "y".repeat(100_000)));
    let env = env.into_iter().chain(more).collect();
    start(&mut machine, STREAM, ExecOrders { env, ..sh("echo ${#LONG}") });
    assert_eq!(read_until(&mut machine, "\n"), "100000\n");
    assert_eq!(ended(&mut machine, STREAM), code(0));
}

#[test]
fn without_its_agent_commands_end_and_are_refused_and_the_program_runs_on() {
    let mut machine = idle_as_pid1();
    start(&mut machine, STREAM, sh("sleep 4245 & kill -KILL $PPID; wait"));
    assert_eq!(ended(&mut machine, STREAM), signal(Signal::KILL));
    check_refused(&mut machine, STREAM, sh("true"), StartFailure::Other);
    let processes = processes(&mut machine);
    assert!(!processes.iter().any(|process| process.command.contains("4245")), "{processes:?}");
    assert!(processes.iter().any(|process| process.command.contains("while true")));
    machine.send(&ToGuest::Signal { signal: Signal::KILL.as_raw() });
    assert_eq!(machine.finish(), signal(Signal::KILL));
}

#[test]
fn an_agent_that_does_not_answer_is_given_up() {
    let mut machine = idle_as_pid1();
    start(&mut machine, STREAM, sh("kill -STOP $PPID; echo stopped; sleep 1000"));
    read_until(&mut machine, "stopped\n");
    check_refused(&mut machine, StreamId(4), sh("true"), StartFailure::Other);
    assert_eq!(ended(&mut machine, STREAM), signal(Signal::KILL));
    let before = std::time::Instant::now();
    check_refused(&mut machine, STREAM, sh("true"), StartFailure::Other);
    assert!(before.elapsed().as_secs() < 10, "nobody is waited for twice");
}

#[test]
fn the_end_of_the_program_ends_its_commands() {
    let mut machine = idle_as_pid1();
    start(&mut machine, STREAM, sh("sleep 1000"));
    machine.send(&ToGuest::Signal { signal: Signal::KILL.as_raw() });
    assert_eq!(machine.finish(), signal(Signal::KILL));
}
