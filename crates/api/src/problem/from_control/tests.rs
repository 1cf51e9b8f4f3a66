//! The recorded texts, status by status.

use super::{ControlError, MachineId, Problem, UnixMs};
use model::admit::{Asked, LeaseHeld, Refused};
use registry::RegistryError;
use std::sync::Arc;

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

#[track_caller]
fn check_code(error: &ControlError, status: u16, code: &str, is_retryable: bool) {
    let problem = Problem::from_control(error, None);
    let found = (problem.status.as_u16(), problem.body.code.as_str(), problem.body.retryable);
    assert_eq!(found, (status, code, is_retryable), "{}", problem.body.error);
}

#[test]
fn a_start_that_the_host_failed_may_be_tried_again() {
    let failed = |code: &str| ControlError::StartFailed {
        code: code.to_owned(),
        message: "because".to_owned(),
    };
    for code in ["disk_in_use", "launch", "deadline", "no_slot", "socket", "namespace", "cgroup"] {
        check_code(&failed(code), 503, code, true);
    }
    check_code(&failed("disk_full"), 507, "disk_full", true);
    for code in
        ["not_found", "not_executable", "empty_argv", "unknown_user", "working_dir", "files"]
    {
        check_code(&failed(code), 412, code, false);
    }
    check(failed("files"), 412, "failed_precondition: machine failed to start: because");
    check(failed("launch"), 503, "unavailable: machine failed to start: because");
}

#[test]
fn bounds_and_preconditions_have_their_statuses() {
    check_code(&ControlError::DiskPressure { free_percent: 3.0 }, 507, "disk_pressure", true);
    check_code(&ControlError::TooManyStreams { n_running: 64 }, 429, "too_many_streams", true);
    for code in ["app_not_empty", "image_in_use", "image_change"] {
        let error = ControlError::Precondition { code, message: String::new(), hint: "" };
        check_code(&error, 412, code, false);
    }
    let full = ControlError::Store(store::StoreError::DiskFull);
    check_code(&full, 507, "disk_full", true);
    check_code(&ControlError::ShuttingDown, 503, "shutting_down", true);
    check_code(&ControlError::Bug { message: String::new() }, 500, "internal", false);
}

#[track_caller]
fn check_registry(error: RegistryError, status: u16, begin: &str) {
    let alone = Problem::from_control(&ControlError::Registry(error.clone()), None);
    assert_eq!(alone.status.as_u16(), status, "{error}");
    assert!(alone.body.error.starts_with(begin), "{}", alone.body.error);
    let shared = ControlError::Shared(Arc::new(ControlError::Registry(error)));
    assert_eq!(Problem::from_control(&shared, None), alone);
}

#[test]
fn what_a_registry_says_is_not_said_of_the_caller_s_token() {
    let (host, repository) = (|| "r.io".to_owned(), || "web".to_owned());
    let denied = |who| RegistryError::Unauthorized {
        host: host(),
        repository: repository(),
        who,
        said_text: String::new(),
    };
    check_registry(denied("anybody"), 403, "permission_denied: registry `r.io`");
    check_registry(denied("these credentials"), 403, "permission_denied: ");
    check_registry(
        RegistryError::NotAllowed { registry: host(), repository: repository() },
        403,
        "permission_denied: ",
    );
    check_registry(
        RegistryError::NotFound {
            host: host(),
            what: "web:1".to_owned(),
            said_text: String::new(),
        },
        404,
        "not_found: ",
    );
    let reference = "A b".parse::<registry::Reference>().expect_err("no reference");
    check_registry(reference.into(), 400, "invalid_argument: ");
    let source = Arc::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    check_registry(
        RegistryError::Unreachable { host: host(), source },
        502,
        "unavailable: cannot connect to `r.io`: connection refused",
    );
    let after = std::time::Duration::from_secs(30);
    check_registry(
        RegistryError::Timeout { host: host(), doing: "answer", after },
        504,
        "deadline_exceeded: ",
    );
}

#[test]
fn images_without_a_way_or_room_have_their_statuses() {
    let status = |error| Problem::from_control(&error, None).status.as_u16();
    assert_eq!(status(ControlError::NoWayOut { registry: "r.io".to_owned() }), 403);
    assert_eq!(status(ControlError::LittleRoom { needed_bytes: 2, free_bytes: 1 }), 507);
}

#[test]
fn words_of_the_machines_api_are_its_status() {
    let taken = ControlError::Taken { what: "machine", name: "a".to_owned() };
    let short = ControlError::Refused(Refused::Capacity(String::new()));
    for (error, word) in [(taken, "name_taken"), (short, "insufficient_capacity")] {
        let body = Problem::from_control(&error, None).body;
        assert_eq!((body.status.as_deref(), body.code.as_str()), (Some(word), word));
    }
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
