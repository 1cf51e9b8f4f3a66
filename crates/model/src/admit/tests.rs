//! The gate table and the table of calls, each against a second, hand-written one.

use super::calls::{Answer, Call, answer};
use super::*;
use crate::cause::{Cause, CauseClass, Depth, Want};
use crate::deadline::{OWED_RECHECK, OWED_WAIT_MAX};
use crate::fixture::{NOW, api, named, pressed, pressure, room, states};
use crate::state::{HoldDown, Machine};

const GATE_COLUMNS: [Gate; 13] = [
    Gate::Lease,
    Gate::DiskPressure,
    Gate::Capacity,
    Gate::HoldDown,
    Gate::Deny,
    Gate::Autostart,
    Gate::Hold,
    Gate::MinRest,
    Gate::MinRun,
    Gate::WakeBudget,
    Gate::Breaker,
    Gate::Progress,
    Gate::RestPermit,
];

/// One row per class: refused, owed, kept awake, or let through, in the order of the columns.
const EXPECTED: [(CauseClass, &str); 8] = [
    (CauseClass::ApiStart, "RRRRR........"),
    (CauseClass::Knock, "RRRRRR......."),
    (CauseClass::Governed, "OOOOO..O.OOO."),
    (CauseClass::Rest, "K...K.K.K...K"),
    (CauseClass::ApiRest, "R............"),
    (CauseClass::Restart, ".R.R........."),
    (CauseClass::Plan, "............."),
    (CauseClass::Safety, "............."),
];

fn causes() -> Vec<Cause> {
    vec![
        api(),
        Cause::Guest,
        Cause::knock(),
        Cause::Rule { rule: "r".to_owned() },
        Cause::Alarm { alarm: "a".to_owned() },
        Cause::Message,
        Cause::Peer { peer: "00000000000000".parse().unwrap() },
        Cause::RestUntil,
        Cause::idle(),
        Cause::Age { after: DurationMs(1) },
        Cause::RestartPolicy,
        Cause::Schedule,
        Cause::HostReboot,
        Cause::Plan,
        pressure(),
        room(),
    ]
}

fn lease() -> LeaseHeld {
    LeaseHeld { owner: "somebody".to_owned(), expires_at: NOW.plus(DurationMs(60_000)) }
}

/// A machine and facts at which every gate is open.
fn open(want: Want) -> (Machine, GateFacts) {
    let machine = if want == Want::Up { pressed() } else { named("started") };
    let facts = GateFacts { can_freeze: true, can_suspend: true, ..GateFacts::default() };
    (machine, facts)
}

fn shut(gate: Gate, machine: &mut Machine, facts: &mut GateFacts) {
    let soon = Some(NOW.plus(DurationMs(1_000)));
    match gate {
        Gate::Lease => facts.lease = Some(lease()),
        Gate::DiskPressure => facts.disk_pressure = Some(PerMille(41)),
        Gate::Capacity => facts.no_capacity = Some("no RAM left".to_owned()),
        Gate::HoldDown => {
            machine.hold_down = Some(HoldDown { reason: "repair".to_owned(), until: soon });
        }
        Gate::Deny => {
            facts.deny_wake = Some("budget".to_owned());
            facts.deny_rest = Some("duty".to_owned());
        }
        Gate::Autostart => facts.autostart_off = true,
        Gate::Hold => facts.hold = Some("work".to_owned()),
        Gate::MinRest => facts.rested_at = Some(NOW),
        Gate::MinRun => facts.started_at = Some(NOW),
        Gate::WakeBudget => facts.wakes_last_hour = WAKE_BUDGET_PER_HOUR,
        Gate::Breaker => facts.breaker_until = soon,
        Gate::Progress => facts.no_progress_until = soon,
        Gate::RestPermit => facts.no_rest_permit = true,
    }
}

fn letter(admission: &Admission) -> char {
    match admission {
        Admission::Go => '.',
        Admission::Owed { .. } => 'O',
        Admission::Refused(Refused::KeptAwake { .. }) => 'K',
        Admission::Refused(_) => 'R',
        Admission::Already => 'A',
    }
}

#[test]
fn the_wake_budget_says_when_it_grows() {
    let grows_at = NOW.plus(DurationMs::from_secs(600));
    let facts = GateFacts {
        wakes_last_hour: WAKE_BUDGET_PER_HOUR,
        budget_grows_at: Some(grows_at),
        ..GateFacts::default()
    };
    let machine = named("stopped");
    let shut = gates::first_shut(CauseClass::Governed, &machine, &facts, &Cause::Message, NOW);
    assert_eq!(shut.and_then(|shut| shut.opens_at), Some(grows_at));
    assert_eq!(
        admit(&machine, &facts, Want::Up, &Cause::Message, NOW),
        Admission::Owed { gate: Gate::WakeBudget, not_before: grows_at }
    );
}

#[test]
fn every_gate_stops_exactly_the_causes_it_should() {
    for cause in causes() {
        for want in [Want::Up, Want::Down(Depth::Freeze), Want::Down(Depth::Stop)] {
            let class = cause.class(want);
            let (_, expected) = EXPECTED.iter().find(|(row, _)| *row == class).unwrap();
            for (gate, expected) in GATE_COLUMNS.into_iter().zip(expected.chars()) {
                let (mut machine, mut facts) = open(want);
                assert_eq!(admit(&machine, &facts, want, &cause, NOW), Admission::Go);
                shut(gate, &mut machine, &mut facts);
                let got = admit(&machine, &facts, want, &cause, NOW);
                // Only what was frozen for want of room meets it, and only on its way up.
                let is_met = gate != Gate::DiskPressure || want == Want::Up;
                let expected = if is_met { expected } else { '.' };
                assert_eq!(letter(&got), expected, "{cause:?} {want:?} {gate:?}: {got:?}");
            }
        }
    }
}

#[test]
fn gates_are_tried_in_their_order() {
    for (class, gates) in gates::GATES {
        let columns: Vec<_> =
            gates.iter().map(|g| GATE_COLUMNS.iter().position(|c| c == g)).collect();
        assert!(columns.is_sorted(), "{class:?}");
    }
}

#[test]
fn a_lease_stops_nobody_once_expired() {
    let (machine, mut facts) = open(Want::Up);
    facts.lease = Some(lease());
    let later = lease().expires_at;
    assert_eq!(admit(&machine, &facts, Want::Up, &api(), later), Admission::Go);
}

#[test]
fn the_owner_may_override_a_deny_rule() {
    let owner = Cause::Api { actor: "a".to_owned(), overrides_deny: true, nonce: None };
    let (machine, mut facts) = open(Want::Up);
    facts.deny_wake = Some("budget".to_owned());
    assert_eq!(admit(&machine, &facts, Want::Up, &owner, NOW), Admission::Go);
}

#[test]
fn want_of_room_stops_only_what_was_frozen_for_it() {
    let facts = GateFacts { disk_pressure: Some(PerMille(41)), ..GateFacts::default() };
    let start = |machine: &Machine| admit(machine, &facts, Want::Up, &api(), NOW);
    let refused = Admission::Refused(Refused::DiskPressure { free: PerMille(41) });
    assert_eq!(start(&pressed()), refused);
    assert_eq!(start(&named("frozen")), Admission::Go);
    assert_eq!(start(&named("stopped")), Admission::Go);
    let destroy = admit_call(&pressed(), &facts, Call::Destroy, &api(), NOW);
    assert_eq!(destroy, Admission::Go);
}

#[test]
fn room_wakes_only_what_was_frozen_for_want_of_it() {
    let wake = |machine: &Machine| admit(machine, &GateFacts::default(), Want::Up, &room(), NOW);
    assert_eq!(wake(&pressed()), Admission::Go);
    for (name, state) in states() {
        let got = wake(&crate::fixture::machine(state));
        assert_eq!(got, Admission::Already, "{name}");
    }
}

#[test]
fn the_host_freezes_whatever_runs_whatever_stands_against_it() {
    let (_, mut facts) = open(Want::Down(Depth::Freeze));
    let mut machine = named("started");
    for gate in GATE_COLUMNS {
        shut(gate, &mut machine, &mut facts);
    }
    let freeze =
        |machine: &Machine| admit(machine, &facts, Want::Down(Depth::Freeze), &pressure(), NOW);
    assert_eq!(freeze(&machine), Admission::Go);
    assert_eq!(freeze(&named("resting")), Admission::Go);
    for name in ["frozen", "suspending", "stopped", "stopping"] {
        assert_eq!(freeze(&named(name)), Admission::Already, "{name}");
    }
    assert_eq!(freeze(&pressed()), Admission::Already);
}

#[test]
fn whoever_wants_a_frozen_writer_asleep_is_heard() {
    let facts = GateFacts { can_freeze: true, ..GateFacts::default() };
    for cause in [api(), Cause::idle()] {
        let got = admit(&pressed(), &facts, Want::Down(Depth::Freeze), &cause, NOW);
        assert_eq!(got, Admission::Go, "{cause:?}");
    }
}

#[track_caller]
fn check_owed(facts: GateFacts, gate: Gate, not_before: UnixMs) {
    let (machine, _) = open(Want::Up);
    let got = admit(&machine, &facts, Want::Up, &Cause::Message, NOW);
    assert_eq!(got, Admission::Owed { gate, not_before });
}

#[test]
fn an_owed_wake_knows_when_to_try_again() {
    let facts = GateFacts::default;
    let far = Some(NOW.plus(DurationMs(u64::MAX / 4)));
    check_owed(GateFacts { rested_at: Some(NOW), ..facts() }, Gate::MinRest, NOW.plus(MIN_REST));
    check_owed(
        GateFacts { deny_wake: Some("r".to_owned()), ..facts() },
        Gate::Deny,
        NOW.plus(OWED_RECHECK),
    );
    check_owed(GateFacts { breaker_until: far, ..facts() }, Gate::Breaker, NOW.plus(OWED_WAIT_MAX));
}

#[test]
fn a_rest_that_the_engine_cannot_do_is_refused() {
    let (machine, _) = open(Want::Down(Depth::Freeze));
    for depth in [Depth::Freeze, Depth::Suspend] {
        let got = admit(&machine, &GateFacts::default(), Want::Down(depth), &api(), NOW);
        assert!(matches!(got, Admission::Refused(Refused::Unsupported { .. })), "{got:?}");
    }
}

/// Columns: start, stop, suspend, restart, update, destroy, destroy by force, exec.
const CALLS: [(&str, &str); 21] = [
    ("creating", "412 ok 412 412 ok ok ok 412"),
    ("creating_only", "412 ok 412 412 ok ok ok 412"),
    ("starting", "409 ok 412 409 ok 412 ok 412"),
    ("starting_to_rest", "ok ok 412 409 ok 412 ok 412"),
    ("started", "200 ok ok ok ok 412 ok ok"),
    ("resting", "ok ok ok ok ok 412 ok ok"),
    ("stopping", "412 ok 412 409 ok 412 ok 412"),
    ("restarting", "409 ok 412 409 ok 412 ok 412"),
    ("stopped", "ok 200 412 ok ok ok ok 412"),
    ("suspending", "ok ok 200 409 ok 412 ok 412"),
    ("suspending_to_wake", "ok ok 200 409 ok 412 ok 412"),
    ("frozen", "ok ok 200 ok ok ok ok 412"),
    ("suspended", "ok ok 200 ok ok ok ok 412"),
    ("waking", "409 ok 412 409 ok 412 ok 412"),
    ("backoff", "ok ok 412 ok ok 412 ok 412"),
    ("updating", "412 ok 412 412 409 412 ok 412"),
    ("updating_run", "412 ok 412 412 409 412 ok 412"),
    ("failed", "ok ok 412 ok ok ok ok 412"),
    ("destroying", "412 200 412 412 412 200 200 412"),
    ("destroying_run", "412 200 412 412 412 200 200 412"),
    ("destroyed", "404 404 404 404 404 404 404 404"),
];

#[test]
fn every_call_gets_its_answer_in_every_state() {
    let calls = [
        Call::Start,
        Call::Stop,
        Call::Suspend,
        Call::Restart,
        Call::Update,
        Call::Destroy,
        Call::ForceDestroy,
        Call::Guest,
    ];
    assert_eq!(states().len(), CALLS.len());
    for (name, row) in CALLS {
        for (call, expected) in calls.into_iter().zip(row.split(' ')) {
            let got = match answer(&named(name).state, call) {
                Answer::Go => "ok",
                Answer::Already => "200",
                Answer::Busy => "409",
                Answer::Wrong => "412",
                Answer::Gone => "404",
            };
            assert_eq!(got, expected, "{call:?} in {name}");
        }
    }
}

#[test]
fn every_call_first_meets_the_lease() {
    let facts = GateFacts { lease: Some(lease()), ..GateFacts::default() };
    for (name, state) in states() {
        let machine = crate::fixture::machine(state);
        let got = admit_call(&machine, &facts, Call::Restart, &api(), NOW);
        assert_eq!(got, Admission::Refused(Refused::Lease(lease())), "restart in {name}");
        let got = admit(&machine, &facts, Want::Up, &api(), NOW);
        assert_eq!(got, Admission::Refused(Refused::Lease(lease())), "start in {name}");
    }
}

#[test]
fn a_restart_meets_the_gates_of_a_start_only_when_it_begins_from_rest() {
    let facts = GateFacts { no_capacity: Some("full".to_owned()), ..GateFacts::default() };
    let restart = |name| admit_call(&named(name), &facts, Call::Restart, &api(), NOW);
    assert_eq!(restart("started"), Admission::Go);
    assert_eq!(restart("stopped"), Admission::Refused(Refused::Capacity("full".to_owned())));
}

#[test]
fn a_wake_joins_what_is_under_way() {
    let facts = GateFacts::default();
    let knock = |name| admit(&named(name), &facts, Want::Up, &Cause::knock(), NOW);
    for name in ["creating", "starting", "started", "restarting", "waking", "backoff"] {
        assert_eq!(knock(name), Admission::Already, "{name}");
    }
    for name in ["creating_only", "starting_to_rest", "resting", "stopping", "suspending"] {
        assert_eq!(knock(name), Admission::Go, "{name}");
    }
    assert!(matches!(knock("destroying"), Admission::Refused(Refused::State { .. })));
}

/// Found by the simulation: the wake was owed, and forgotten because the machine was up.
#[test]
fn a_wake_takes_back_a_rest_that_is_not_begun_whatever_the_gates_say() {
    let mut facts = GateFacts { wakes_last_hour: WAKE_BUDGET_PER_HOUR, ..GateFacts::default() };
    facts.deny_wake = Some("budget".to_owned());
    for name in ["resting", "starting_to_rest"] {
        let got = admit(&named(name), &facts, Want::Up, &Cause::Message, NOW);
        assert_eq!(got, Admission::Go, "{name}");
    }
}
