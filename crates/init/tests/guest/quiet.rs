//! Before a sleep the programs stand still, and go on when the clock is right again.

use crate::harness::{Guest, House, code, entropy, shell};
use guest_proto::message::{Answer, ExecOrders, Question};
use guest_proto::{FromGuest, StreamId, ToGuest};
use std::time::Duration;

/// The year 2040.
const LATER: Duration = Duration::from_secs(2_208_988_800);

/// Says the time as fast as it can, for ever; one of them in a group of its own.
const TWO_CLOCKS: &str = "mkdir /sys/fs/cgroup/mine
    sh -c 'echo $$ > /sys/fs/cgroup/mine/cgroup.procs; while date +own:%s; do :; done' &
    while date +main:%s; do :; done";

/// Questions that a guest answers while nobody else says anything.
const ROUNDS: u64 = 30;

#[test]
fn programs_that_were_held_find_another_clock() {
    let Some(house) = House::new() else { return };
    let mut guest = house.started(shell(TWO_CLOCKS));
    both_speak(&mut guest, "");
    hold(&mut guest, 1);
    guest.send(&ToGuest::Exec { stream: StreamId(2), exec: command("true") });
    match guest.expect(|message| matches!(message, FromGuest::ExecFailed { .. })) {
        FromGuest::ExecFailed { message, .. } => assert_eq!(message, "the machine goes to sleep"),
        other => unreachable!("{other:?} was not awaited"),
    }
    let held = guest.output();
    guest.set_time(LATER);
    guest.send(&ToGuest::Resume { entropy_base64: entropy(2) });
    guest.expect(|message| matches!(message, FromGuest::Resumed));
    both_speak(&mut guest, &held);
    let output = guest.output();
    let said = output.strip_prefix(&held).expect("only more is said");
    let lines = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    for line in lines {
        let time: u64 = line[line.find(':').map_or(0, |at| at + 1)..].parse().expect("a time");
        assert!(time >= LATER.as_secs(), "{line}");
    }

    // A command that began since is held like the others, until the sleep is called off.
    guest.send(&ToGuest::Exec {
        stream: StreamId(4),
        exec: command("while sleep 0.01; do echo command; done"),
    });
    guest.expect_output("command\n");
    hold(&mut guest, 2);
    let held = guest.output();
    guest.send(&ToGuest::Thawed);
    guest.expect_output_after(&held, "command\n");
    both_speak(&mut guest, &held);
    guest.send(&ToGuest::Signal { signal: 9 });
    assert_eq!(guest.exited().signal, Some(9));
}

#[test]
fn a_group_that_the_machine_holds_itself_stays_held() {
    let Some(house) = House::new() else { return };
    let script = "cd /sys/fs/cgroup; mkdir mine; echo 1 > mine/cgroup.freeze; echo ready
        until [ -e /go ]; do sleep 0.01; done; cat mine/cgroup.freeze programs/cgroup.freeze";
    let mut guest = house.started(shell(script));
    guest.expect_output("ready\n");
    hold(&mut guest, 1);
    go_on_to_the_end(&mut guest, "ready\n1\n0\n");
}

#[test]
fn a_group_that_the_machine_has_removed_is_made_again() {
    let Some(house) = House::new() else { return };
    let script = "cd /sys/fs/cgroup; echo $$ > cgroup.procs; echo ready
        until rmdir programs 2>/dev/null; do :; done; echo gone
        until [ -e /go ]; do sleep 0.01; done; cat programs/cgroup.freeze";
    let mut guest = house.started(shell(script));
    guest.expect_output("ready\n");
    ask(&mut guest, 1, Question::Quiesce);
    guest.expect_output("gone\n");
    go_on_to_the_end(&mut guest, "ready\ngone\n0\n");
}

/// Calls the sleep off, starts a command that the program waits for, and checks all that was said.
#[track_caller]
fn go_on_to_the_end(guest: &mut Guest, output: &str) {
    guest.send(&ToGuest::Thawed);
    guest.send(&ToGuest::Exec { stream: StreamId(2), exec: command("touch /go") });
    assert_eq!(guest.exited(), code(0));
    assert_eq!(guest.output(), output);
    guest.expect_power_off();
}

/// Has the guest prepare for its sleep, and checks that no program says anything from then on.
#[track_caller]
fn hold(guest: &mut Guest, round: u64) {
    ask(guest, round * 1_000, Question::Quiesce);
    // What was said before is heard.
    (1..4).for_each(|n| ask(guest, round * 1_000 + n, Question::Listening));
    let said = guest.output();
    (4..ROUNDS).for_each(|n| ask(guest, round * 1_000 + n, Question::Listening));
    assert_eq!(guest.output(), said, "programs go on");
}

#[track_caller]
fn ask(guest: &mut Guest, id: u64, question: Question) {
    guest.send(&ToGuest::Ask { id, question });
    let is_it =
        |message: &FromGuest| matches!(message, FromGuest::Answer { id: its, .. } if *its == id);
    let answer = guest.expect(is_it);
    assert!(
        !matches!(answer, FromGuest::Answer { answer: Answer::Failed { .. }, .. }),
        "{answer:?}"
    );
}

/// Waits until both have spoken after `before`.
#[track_caller]
fn both_speak(guest: &mut Guest, before: &str) {
    guest.expect_output_after(before, "own:");
    guest.expect_output_after(before, "main:");
}

fn command(script: &str) -> ExecOrders {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    ExecOrders { argv, ..ExecOrders::default() }
}
