//! `policy` and `schedule` of a configuration: what a machine is to be governed by from the start.

use crate::problem::Problem;
use policy::Policy;
use serde_json::Value;

/// Words for a schedule. Source: machines-api 2.1.
const SCHEDULES: [&str; 4] = ["hourly", "daily", "weekly", "monthly"];

/// Refuses a schedule that is none.
pub(super) fn check_schedule(schedule: Option<&str>) -> Result<(), Problem> {
    match schedule {
        None | Some("") => Ok(()),
        Some(word) if SCHEDULES.contains(&word) => Ok(()),
        Some(word) => Err(Problem::invalid(
            "invalid_schedule",
            format!("config.schedule `{word}` is unknown"),
        )
        .hint(
            "use `hourly`, `daily`, `weekly` or `monthly`; for anything else, an alarm with \
                     `cron` in `config.policy`",
        )),
    }
}

/// The text of the policy that a configuration (as it is stored) brings along.
///
/// # Errors
/// 422 `policy_invalid` with all findings.
pub fn policy(config: &Value) -> Result<Option<String>, Problem> {
    let Some(document) = named(config) else { return Ok(None) };
    let text = document.to_string();
    match Policy::parse(text.as_bytes()) {
        Ok(_) => Ok(Some(text)),
        Err(findings) => Err(Problem::invalid_policy(&findings)),
    }
}

/// The text of the policy that an update from configuration `old` to `new` brings along: none unless
/// it is another one. What the machine has may have been set by other means since, and clients that
/// do not know the field leave it out.
///
/// # Errors
/// As [`policy()`].
pub fn changed_policy(old: &Value, new: &Value) -> Result<Option<String>, Problem> {
    if named(old) == named(new) { Ok(None) } else { policy(new) }
}

fn named(config: &Value) -> Option<&Value> {
    config.get("policy").filter(|policy| !policy.is_null())
}

#[cfg(test)]
mod tests {
    use super::{changed_policy, check_schedule, policy};
    use serde_json::{Value, json};

    #[test]
    fn a_schedule_is_one_of_four_words() {
        for word in [None, Some(""), Some("hourly"), Some("monthly")] {
            assert_eq!(check_schedule(word), Ok(()), "{word:?}");
        }
        for word in ["yearly", "Daily", "* * * * *"] {
            let problem = check_schedule(Some(word)).expect_err("must be refused");
            let found = (problem.status.as_u16(), problem.body.code.as_str());
            assert_eq!(found, (400, "invalid_schedule"), "{word}");
            assert!(problem.body.hint.is_some());
        }
    }

    #[test]
    fn a_policy_with_errors_is_refused_with_all_of_them() {
        let rule = json!({"id": "a", "effect": "wake", "when": "inbox.depth > "});
        for wrong in [json!([]), json!("x"), json!({"rulez": []}), json!({"rules": [rule]})] {
            let problem = policy(&json!({"policy": wrong})).expect_err("must be refused");
            let found = (problem.status.as_u16(), problem.body.code.as_str());
            assert_eq!(found, (422, "policy_invalid"));
            assert!(!problem.body.findings.is_empty(), "{wrong}");
        }
        assert_eq!(policy(&json!({"policy": null})), Ok(None));
        assert_eq!(policy(&json!({"policy": {}})), Ok(Some("{}".to_owned())));
    }

    #[track_caller]
    fn check_update(old: &Value, new: &Value, expected: Option<&str>) {
        assert_eq!(changed_policy(old, new).expect("valid").as_deref(), expected, "{new}");
    }

    #[test]
    fn an_update_sets_the_policy_only_when_it_says_another_one() {
        let noted = json!({"policy": {"note": "a"}});
        check_update(&noted, &noted, None);
        check_update(&noted, &json!({}), None);
        check_update(&noted, &json!({"policy": {}}), Some("{}"));
        check_update(&json!({}), &noted, Some(r#"{"note":"a"}"#));
    }
}
