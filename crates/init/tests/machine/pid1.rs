//! Programs that are themselves an init.

use crate::harness::{Machine, code, program, shell};
use guest_proto::message::StartFailure;
use guest_proto::{FromGuest, Orders, ToGuest};
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
