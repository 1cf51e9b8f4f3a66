//! Refusals of a self, status by status, and the gates that starts name.

use super::{Refused, WriteRefused, gate, refusal};
use crate::Problem;
use control::ControlError;
use govern::{Action, Writer};
use model::UnixMs;
use model::admit::LeaseHeld;
use policy::Policy;

#[track_caller]
fn check(refused: WriteRefused, status: u16, code: &str, text: &str) -> Problem {
    let problem = Problem::from_control(&ControlError::from(refused), None);
    let found = (problem.status.as_u16(), &*problem.body.code, &*problem.body.error);
    assert_eq!(found, (status, code, text));
    assert!(problem.body.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "{problem}");
    problem
}

#[test]
fn refusals_keep_their_status_code_and_hint() {
    let rights = WriteRefused::Rights { action: Action::HoldDown, writer: Writer::Machine };
    let text = "permission_denied: `self` may not hold the machine down";
    let problem = check(rights, 403, "self_rights", text);
    assert_eq!(problem.body.hint.as_deref(), Some("it is for its owner, the platform"));
    let missing = WriteRefused::Missing { what: "hold", name: "x".to_owned() };
    check(missing, 404, "self_missing", "not_found: there is no hold `x`");
    let full = WriteRefused::Full { what: "holds", max: 16 };
    check(full, 409, "self_full", "aborted: there are 16 holds already");
    let long = WriteRefused::TooLong { what: "the reason", max: 256 };
    let text = "resource_exhausted: the reason has more than 256 bytes";
    check(long, 413, "self_too_long", text);
    let inbox = WriteRefused::InboxFull { what: "1,000 messages wait" };
    let text = "resource_exhausted: there is no room for the message: 1,000 messages wait";
    assert!(check(inbox, 429, "inbox_full", text).body.retryable);
    let text = "invalid_argument: a rest needs `until` or `at`";
    check(WriteRefused::RestForEver, 422, "rest_for_ever", text);
}

#[test]
fn a_conflict_names_the_revision() {
    let conflict = WriteRefused::Revision { expected: 5, is: 7 };
    let text = "failed_precondition: the revision is 7, not 5";
    let problem = check(conflict, 412, "self_revision", text);
    assert_eq!(problem.body.revision, Some(7));
    let response = axum::response::IntoResponse::into_response(problem);
    assert_eq!(response.headers()["dormouse-revision"], "7");
}

#[test]
fn a_policy_with_errors_lists_them_all() {
    let text = br#"{"rules":[{"id":"a","effect":"wake","when":"inbox.deth > 0"},
        {"id":"b","effect":"wake","when":"1 +"}]}"#;
    let findings = Policy::parse(text).expect_err("two errors");
    let problem = refusal(&WriteRefused::Policy { findings });
    assert_eq!((problem.status.as_u16(), &*problem.body.code), (422, "policy_invalid"));
    let paths: Vec<_> = problem.body.findings.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["rules[0].when", "rules[1].when"]);
    assert_eq!(problem.body.findings[0].line, Some(1));
}

#[test]
fn a_condition_shows_where_it_is_wrong() {
    let policy = Policy::parse(b"{}").expect("empty");
    let text = "true && inbox.deth > 0";
    let error = policy.compile_rest_until(text).expect_err("no such name");
    let excerpt = error.excerpt(text);
    let problem = refusal(&WriteRefused::Condition { error, excerpt });
    let finding = &problem.body.findings[0];
    assert_eq!((finding.path.as_str(), finding.column), ("until", Some(9)));
    assert_eq!((problem.status.as_u16(), &*problem.body.code), (422, "condition_invalid"));
}

#[track_caller]
fn check_gate(refused: &Refused, word: Option<&str>, reason: Option<&str>) {
    let (shown, why) = gate(refused);
    assert_eq!((shown.as_deref(), why.as_deref()), (word, reason));
}

#[test]
fn starts_name_the_gate_that_is_shut() {
    let lease = LeaseHeld { owner: "ann".to_owned(), expires_at: UnixMs(0) };
    check_gate(&Refused::Lease(lease), Some("lease"), Some("ann"));
    let held = Refused::HeldDown { reason: "moving".to_owned() };
    check_gate(&held, Some("hold_down"), Some("moving"));
    check_gate(&Refused::Denied { rule: "quiet".to_owned() }, Some("deny"), Some("quiet"));
    check_gate(&Refused::AutostartOff, Some("autostart"), None);
    check_gate(&Refused::StaleRun, None, None);
}

#[test]
fn gates_have_the_words_of_the_trace() {
    use model::admit::Gate::{
        Autostart, Breaker, Capacity, Deny, DiskPressure, Hold, HoldDown, Lease, MinRest, MinRun,
        Progress, RestPermit, WakeBudget,
    };
    for gate in [
        Lease,
        DiskPressure,
        Capacity,
        HoldDown,
        Deny,
        Autostart,
        Hold,
        MinRest,
        MinRun,
        WakeBudget,
        Breaker,
        Progress,
        RestPermit,
    ] {
        let traced = serde_json::to_value(gate).expect("a word");
        assert_eq!(traced, super::gate_word(gate));
    }
}
