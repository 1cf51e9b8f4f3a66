//! `/.fly/api`, from the guest's side to the host's.

use crate::harness::{Machine, TEST_PROGRAM, code, program, shell};
use guest_proto::message::Ended;
use guest_proto::stream::STREAMS_MAX;
use guest_proto::{Channel, FromGuest, Orders, SendWindow, StreamId, ToGuest};
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// What the guest's side shall do: one of the arms of [`guest_side`].
const ROLE: &str = "DORMOUSE_TEST_GUEST_ROLE";

/// Says what it has seen on standard error: standard output belongs to the test runner.
#[test]
fn guest_side() {
    let Ok(role) = std::env::var(ROLE) else {
        eprintln!("not in a guest: this is the program that the other tests run there");
        return;
    };
    let (role, path) = role.split_once(' ').expect("a role and a path");
    let connect = || UnixStream::connect(path).expect("init listens");
    match role {
        "ask" => {
            let mut socket = connect();
            socket.write_all(b"question\n").expect("init reads");
            socket.shutdown(Shutdown::Write).expect("a socket has two directions");
            let mut answer = String::new();
            socket.read_to_string(&mut answer).expect("an answer");
            eprint!("{answer}");
        }
        "count" => {
            let mut answer = Vec::new();
            connect().read_to_end(&mut answer).expect("an answer");
            assert!(answer.iter().all(|byte| *byte == b'a'));
            eprint!("{}", answer.len());
        }
        "flood" => {
            let mut socket = connect();
            socket.write_all(&vec![b'b'; FLOOD_BYTES]).expect("init reads");
            // What a program that ends has not got rid of ends with it.
            assert_eq!(socket.read(&mut [0]).expect("the end"), 0);
        }
        "leave" => drop(connect()),
        "crowd" => {
            let mut crowd: Vec<_> = (0..STREAMS_MAX + 6).map(|_| connect()).collect();
            let n_closed = crowd
                .iter_mut()
                .skip(STREAMS_MAX)
                .map(|socket| socket.read(&mut [0]).expect("the end"))
                .filter(|n_bytes| *n_bytes == 0)
                .count();
            eprint!("{n_closed} closed");
        }
        other => panic!("no role {other}"),
    }
}

const FLOOD_BYTES: usize = 3_000_000;

fn guest(role: &str, path: &str) -> Orders {
    Orders {
        env: [(ROLE.to_owned(), format!("{role} {path}"))].into(),
        ..program(&[TEST_PROGRAM, "--exact", "api::guest_side", "--nocapture"])
    }
}

fn opened(machine: &mut Machine) -> StreamId {
    match machine.expect(|message| matches!(message, FromGuest::ApiOpened { .. })) {
        FromGuest::ApiOpened { stream } => stream,
        other => unreachable!("{other:?} was not awaited"),
    }
}

#[track_caller]
fn check_end(machine: &mut Machine, said: &str) {
    let ended: Ended = machine.finish();
    assert_eq!(machine.errors(), said);
    assert_eq!(ended, code(0));
}

#[test]
fn what_the_guest_asks_is_answered_by_the_host() {
    for path in ["/.fly/api", "/.dormouse/api"] {
        let user = "app".to_owned();
        let mut machine = Machine::started(Orders { user, ..guest("ask", path) });
        let stream = opened(&mut machine);
        assert_eq!(stream, StreamId(1));
        assert_eq!(machine.expect_data(stream), b"question\n");
        machine.expect(|message| *message == FromGuest::End { stream });
        machine.send_data(stream, Channel::Stdout, b"answer\n");
        machine.send(&ToGuest::End { stream });
        check_end(&mut machine, "answer\n");
    }
}

#[test]
fn a_second_start_over_the_same_root_listens_again() {
    let mut machine = Machine::shell("ls -ld /.fly /.fly/api /.dormouse | busybox cut -c1-10");
    assert_eq!(machine.finish(), code(0));
    assert_eq!(machine.output(), "lrwxrwxrwx\ndrwxr-xr-x\nsrw-rw-rw-\n");
    let mut machine = machine.again();
    machine.greet();
    machine.boot(guest("ask", "/.fly/api"));
    let stream = opened(&mut machine);
    machine.send(&ToGuest::End { stream });
    check_end(&mut machine, "");
}

#[test]
fn a_reset_by_the_host_closes_the_connection() {
    let mut machine = Machine::started(guest("count", "/.fly/api"));
    let stream = opened(&mut machine);
    machine.send_data(stream, Channel::Stdout, b"aaa");
    machine.send(&ToGuest::Reset { stream });
    check_end(&mut machine, "3");
}

#[test]
fn a_large_answer_flows_under_credit() {
    let mut machine = Machine::started(guest("count", "/.fly/api"));
    let stream = opened(&mut machine);
    let mut window = SendWindow::new();
    let mut left = FLOOD_BYTES;
    while left > 0 {
        let n_bytes = window.left_bytes().min(left).min(50_000);
        if n_bytes > 0 {
            machine.send_data(stream, Channel::Stdout, &vec![b'a'; n_bytes]);
            window.spend(n_bytes);
            left -= n_bytes;
        } else if let FromGuest::Credit { bytes, .. } =
            machine.expect(|message| matches!(message, FromGuest::Credit { .. }))
        {
            window.grant(bytes);
        }
    }
    machine.send(&ToGuest::End { stream });
    check_end(&mut machine, &FLOOD_BYTES.to_string());
}

#[test]
fn a_large_question_waits_for_credit() {
    let mut machine = Machine::started(guest("flood", "/.fly/api"));
    let stream = opened(&mut machine);
    let mut received = 0;
    while received < FLOOD_BYTES {
        let n_bytes = machine.expect_data(stream).len();
        received += n_bytes;
        let bytes = u32::try_from(n_bytes).expect("a frame is small");
        machine.send(&ToGuest::Credit { stream, bytes });
    }
    assert_eq!(received, FLOOD_BYTES);
    machine.send(&ToGuest::End { stream });
    check_end(&mut machine, "");
}

#[test]
fn connections_are_bounded() {
    let mut machine = Machine::started(guest("crowd", "/.fly/api"));
    for _ in 0..STREAMS_MAX {
        opened(&mut machine);
    }
    check_end(&mut machine, "6 closed");
}

#[test]
fn a_guest_that_hangs_up_resets_the_stream() {
    let orders = guest("leave", "/.fly/api");
    let line = orders.argv.join(" ");
    let mut machine =
        Machine::started(Orders { env: orders.env, ..shell(&format!("{line}; sleep 1000")) });
    let stream = opened(&mut machine);
    machine.expect(|message| *message == FromGuest::End { stream });
    machine.expect(|message| *message == FromGuest::Reset { stream });
}
