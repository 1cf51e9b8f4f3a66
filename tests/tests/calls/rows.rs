//! A test for each row, on the fake engine and, where it can be had, on real machines.

use crate::asked::{ask, refusal, settles};
use crate::states::{Kind, RESTING, listener, machine_in};
use crate::table::{row, rows};
use testkit::{Instance, eventually};
use tests::fixture;

/// Every cell of a row: status, words, and where a call that was let through leads.
#[track_caller]
fn check(kind: Kind, state: &str) {
    let instance = match kind {
        Kind::Fake => Instance::start(),
        Kind::Container => fixture::with_busybox(),
    };
    for (call, cell) in row(state).cells {
        let id = machine_in(&instance, kind, state);
        check_cell(&instance, (kind, &id), (state, &call), &cell);
    }
}

#[track_caller]
fn check_cell(
    instance: &Instance,
    (kind, id): (Kind, &str),
    (state, call): (&str, &str),
    cell: &str,
) {
    let name = instance.state(id);
    check_replies(instance, (kind, id), (state, &name, call), cell);
    let is_let_through = matches!(cell, "ok" | "200") && state != "destroying";
    if let Some(end) = settles(call, state).filter(|_| is_let_through) {
        instance.wait_for(id, end);
    }
}

/// Makes the call while the API shows the state as `name`.
#[track_caller]
fn check_replies(
    instance: &Instance,
    (kind, id): (Kind, &str),
    (state, name, call): (&str, &str, &str),
    cell: &str,
) {
    for reply in ask(instance, kind, id, call) {
        let at = format!("{state} × {call}: {}", reply.text);
        match cell {
            "ok" | "200" => assert_eq!(reply.status, 200, "{at}"),
            status => {
                let status: u16 = status.parse().expect("a cell is `ok` or a status");
                assert_eq!(reply.status, status, "{at}");
                let said = reply.refusal(status);
                assert_eq!(said.error, refusal(call, name, status), "{state} × {call}");
            }
        }
    }
}

macro_rules! on_fake {
    ($($name:ident: $state:literal,)*) => {
        const TESTED: &[&str] = &[$($state),*];
        $(
            #[test]
            fn $name() {
                check(Kind::Fake, $state);
            }
        )*
    };
}

on_fake! {
    calls_while_it_is_created: "creating",
    calls_while_it_starts: "starting, waking",
    calls_while_it_starts_to_rest: "starting_to_rest",
    calls_while_it_runs: "started",
    calls_while_it_stops: "stopping",
    calls_while_it_restarts: "restarting",
    calls_while_it_waits_for_a_restart: "backoff",
    calls_while_it_is_stopped: "stopped",
    calls_while_it_falls_asleep: "suspending",
    calls_while_it_sleeps: "frozen, suspended",
    calls_when_it_has_failed: "failed",
    calls_while_it_is_updated: "updating",
    calls_while_it_is_destroyed: "destroying",
    calls_when_it_is_gone: "destroyed",
}

#[test]
fn every_row_has_its_test() {
    let rows = rows();
    let others = rows.iter().map(|row| row.state.as_str()).filter(|state| *state != RESTING);
    assert_eq!(others.collect::<Vec<_>>(), TESTED);
}

/// Its program must listen for the notice of a rest, which the fake's does not. A machine is that long
/// about to rest that each of several in turn gets its call.
#[test]
fn calls_while_a_container_is_about_to_rest() {
    let instance = fixture::with_busybox();
    let cells = row(RESTING).cells;
    let machines: Vec<_> = cells.iter().map(|_| listener(&instance)).collect();
    for ((call, cell), id) in cells.iter().zip(&machines) {
        let what = format!("{id} is told of its rest");
        eventually(&what, || (!instance.log(id).is_empty()).then_some(()));
        check_replies(&instance, (Kind::Container, id), (RESTING, "started", call), cell);
    }
    for ((call, cell), id) in cells.iter().zip(&machines) {
        if let Some(end) = settles(call, RESTING).filter(|_| cell == "ok") {
            instance.wait_for(id, end);
        }
    }
}

macro_rules! on_container {
    ($($name:ident: $state:literal,)*) => {
        $(
            #[test]
            fn $name() {
                check(Kind::Container, $state);
            }
        )*
    };
}

on_container! {
    calls_while_a_container_runs: "started",
    calls_while_a_container_stops: "stopping",
    calls_while_a_container_restarts: "restarting",
    calls_while_a_container_is_stopped: "stopped",
    calls_while_a_container_sleeps: "frozen, suspended",
    calls_when_a_container_is_gone: "destroyed",
}
