//! Daemons come and go; the machine does not mind.

use crate::client::{Client, Heard};
use crate::guest_side;
use crate::world::{World, wait_for};
use guest_proto::message::StartFailure;
use guest_proto::{FromGuest, StreamId, ToGuest};
use shim_proto::{FromShim, RunStatus, exit_file};
use std::io::Write as _;

const SLEEPER: &str = "echo up; while :; do sleep 0.05; done";

#[test]
fn a_new_daemon_finds_the_machine_running() {
    let world = World::new();
    let first = Client::start(world.sh(SLEEPER));
    let init = first.init_pid;
    let shim = first.hang_up();
    let mut second = Client::connect(&world.path("shim.sock"));
    match second.status() {
        RunStatus::Up { machine, init_pid, is_frozen, run, .. } => {
            assert_eq!((machine.as_str(), init_pid, is_frozen), ("9080e966ae7187", init, false));
            assert_eq!(run, "run-0");
        }
        other => panic!("instead of up: {other:?}"),
    }
    let (output, _) = second.exec(StreamId(2), &["/bin/echo", "hello"]);
    assert_eq!(output, "hello\n");
    let record = second.kill();
    shim.reap();
    assert!(record.requested_stop);
    world.assert_nothing_left();
}

#[test]
fn the_newest_daemon_wins() {
    let world = World::new();
    let mut first = Client::start(world.sh(SLEEPER));
    let mut second = Client::connect(&world.path("shim.sock"));
    assert!(matches!(second.status(), RunStatus::Up { .. }));
    assert!(matches!(first.hear(), Heard::Closed));
    second.kill();
    first.wait_shim();
}

#[test]
fn an_exit_while_nobody_is_there_is_on_disk() {
    let world = World::new();
    let spec = world.sh("sleep 0.2; exit 9");
    let exit_path = spec.exit_path.clone();
    Client::start(spec).hang_up().reap();
    let record = exit_file::read(&exit_path).expect("readable").expect("written");
    assert_eq!((record.code, record.requested_stop), (Some(9), false));
    world.assert_nothing_left();
}

#[test]
fn commands_of_a_lost_daemon_are_killed_and_their_numbers_free_again() {
    let world = World::new();
    let mut first = Client::start(world.sh(SLEEPER));
    first.exec_start(StreamId(2), &["/bin/sleep", "1000"], false);
    let started = FromShim::Guest(FromGuest::ExecStarted { stream: StreamId(2), pid: 0 });
    assert_eq!(std::mem::discriminant(&first.message()), std::mem::discriminant(&started));
    let shim = first.hang_up();
    let mut second = Client::connect(&world.path("shim.sock"));
    assert!(matches!(second.status(), RunStatus::Up { .. }));
    wait_for("end of the command", || {
        let (output, _) = second.exec(StreamId(4), &["/bin/busybox", "ps"]);
        !output.contains("sleep 1000")
    });
    let (output, _) = second.exec(StreamId(2), &["/bin/echo", "again"]);
    assert_eq!(output, "again\n");
    second.kill();
    shim.reap();
}

#[test]
fn a_call_of_the_guest_is_answered_even_when_the_daemon_is_away() {
    let world = World::dressed(guest_side::dress);
    let call = guest_side::CALL;
    let script =
        format!("{call}; while [ ! -e /tmp/again ]; do sleep 0.01; done; {call}; sleep 1000");
    let mut first = Client::start(world.sh(&script));
    let (api, request) = first.api_request();
    assert!(request.starts_with("GET /v1/self"), "{request}");
    assert_eq!(api.0 % 2, 1);
    // This daemon goes away without an answer, and the call is answered in its place.
    let shim = first.hang_up();
    let answers = || {
        let log = world.log();
        log.iter().filter(|line| line.ends_with("HTTP/1.1 503 Service Unavailable")).count()
    };
    wait_for("answer in the daemon's place", || answers() == 1);
    // The next call is made while nobody is there at all.
    let mut second = Client::connect(&world.path("shim.sock"));
    assert!(matches!(second.status(), RunStatus::Up { .. }));
    second.exec(StreamId(2), &["/bin/sh", "-c", "sleep 0.2; echo >/tmp/again"]);
    second.hang_up();
    wait_for("answer without a daemon", || answers() == 2);
    let log = world.log().join("\n");
    assert!(log.contains("Retry-After: 1") && log.contains("control_unavailable"), "{log}");
    // And a daemon that is there answers itself.
    let mut third = Client::connect(&world.path("shim.sock"));
    assert!(matches!(third.status(), RunStatus::Up { .. }));
    third.kill();
    shim.reap();
}

#[test]
fn orders_that_make_no_sense_are_refused() {
    use shim_proto::ToShim;
    let world = World::new();
    let mut client = Client::spawn();
    let refused = |client: &mut Client, order: &ToShim| {
        client.send(order);
        match client.message() {
            FromShim::Refused { order, code, .. } => (order, code),
            other => panic!("instead of a refusal: {other:?}"),
        }
    };
    let words = |order: &str, code: &str| (order.to_owned(), code.to_owned());
    assert_eq!(refused(&mut client, &ToShim::Go), words("go", "not_running"));
    assert_eq!(refused(&mut client, &ToShim::Freeze), words("freeze", "not_running"));
    let shutdown = ToShim::Guest(ToGuest::Shutdown);
    assert_eq!(refused(&mut client, &shutdown), words("guest", "not_running"));
    client.go(world.sh(SLEEPER));
    assert_eq!(refused(&mut client, &ToShim::Go), words("go", "not_running"));
    let hello = ToShim::Guest(ToGuest::Hello { version: 1, version_min: 1 });
    assert_eq!(refused(&mut client, &hello), words("guest", "failed"));
    client.exec_start(StreamId(3), &["/bin/echo"], false);
    assert!(matches!(client.message(), FromShim::Refused { .. }), "odd numbers are the guest's");
    client.exec_start(StreamId(2), &["/absent"], false);
    match client.message() {
        FromShim::Guest(FromGuest::ExecFailed { reason, .. }) => {
            assert_eq!(reason, StartFailure::NotFound);
        }
        other => panic!("instead of the failure: {other:?}"),
    }
    client.kill();
}

#[test]
fn nonsense_on_the_socket_costs_the_connection_and_no_more() {
    let world = World::new();
    let first = Client::start(world.sh(SLEEPER));
    let shim = first.hang_up();
    let path = world.path("shim.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("connected");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n and more than a header of nonsense").expect("sent");
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).expect("closed");
    let mut second = Client::connect(&path);
    assert!(matches!(second.status(), RunStatus::Up { .. }));
    second.kill();
    shim.reap();
}
