//! The recorded texts, status by status.

use super::{ControlError, MachineId, Problem, UnixMs};
use model::admit::{Asked, LeaseHeld, Refused};

#[track_caller]
fn check(error: ControlError, status: u16, text: &str) {
    let machine: MachineId = "0e286039a42d18".parse().expect("an id");
    let problem = Problem::from_control(&error, Some(&machine));
    assert_eq!((problem.status.as_u16(), problem.body.error.as_str()), (status, text));
    assert!(!problem.body.code.is_empty(), "{text} has no code");
}

fn state(state: &'static str, asked: Asked) -> ControlError {
    ControlError::Refused(Refused::State { state, asked })
}

#[test]
fn refusals_have_the_recorded_texts() {
    let no_start =
        |s: &str| format!("failed_precondition: unable to start machine from current state: '{s}'");
    for from in ["created", "stopping", "destroying", "destroyed"] {
        check(state(from, Asked::Start), 412, &no_start(from));
    }
    check(state("starting", Asked::Start), 409, "aborted: machine still attempting to start");
    check(
        state("replacing", Asked::Start),
        412,
        "failed_precondition: machine getting replaced, refusing to start",
    );
    check(
        state("started", Asked::Destroy),
        412,
        "failed_precondition: unable to destroy machine, not currently stopped, suspended, \
         failed or created",
    );
    check(state("stopped", Asked::Guest), 412, "failed_precondition: machine not running");
    for asked in [Asked::Stop, Asked::Suspend, Asked::Restart, Asked::Update, Asked::Destroy] {
        check(state("destroyed", asked), 404, "not_found: machine not found");
    }
    check(
        state("stopped", Asked::Suspend),
        412,
        "failed_precondition: unable to suspend machine from current state: 'stopped'",
    );
    check(state("stopping", Asked::Restart), 409, "aborted: machine still stopping");
}

#[test]
fn lease_capacity_and_waits_have_the_recorded_texts() {
    let lease = LeaseHeld { owner: "ann@tokens".to_owned(), expires_at: UnixMs(0) };
    check(
        ControlError::Refused(Refused::Lease(lease)),
        409,
        "aborted: machine ID 0e286039a42d18 lease currently held by ann@tokens, expires at \
         1970-01-01T00:00:00Z",
    );
    let why = "insufficient memory available to fulfill request".to_owned();
    check(
        ControlError::Refused(Refused::Capacity(why)),
        409,
        "aborted: could not reserve resource for machine: insufficient memory available to \
         fulfill request",
    );
    check(
        ControlError::WaitTimeout { wanted: "started".into(), actual: "stopped".into() },
        408,
        "deadline_exceeded: machine failed to reach desired state, started, currently stopped",
    );
    check(ControlError::NotFound { what: "app" }, 404, "Could not find App");
    check(ControlError::NotFound { what: "lease" }, 404, "lease not found");
    let taken = ControlError::Taken { what: "app", name: "a".to_owned() };
    check(taken, 422, "Validation failed: Name has already been taken");
}

#[test]
fn bodies_have_the_agreed_keys() {
    let problem = Problem::from_control(&ControlError::NotFound { what: "app" }, None);
    assert_eq!(
        serde_json::to_value(&problem.body).expect("plain fields"),
        serde_json::json!({
            "error": "Could not find App", "code": "app_not_found", "retryable": false,
            "hint": "`GET /v1/apps` lists apps; `POST /v1/apps` creates one"
        })
    );
}

#[test]
fn foreign_text_is_cut() {
    let problem = Problem::invalid("x", "é".repeat(10_000));
    assert!(problem.body.error.chars().count() < 700);
}
