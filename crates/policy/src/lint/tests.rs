//! What the lint says, and what it does not.

use super::*;

/// The findings for a policy of these rules, each a JSON object, over a few facts.
fn findings(rules: &str) -> Vec<Finding> {
    let text = format!(
        r#"{{"facts":{{"n":{{"type":"int","min":0,"max":10}},"level":{{"type":"double","min":0,"max":1}},
            "step":{{"type":"string","enum":["asked","yes","no"]}},"busy":{{"type":"bool"}}}},
            "alarms":{{"night":{{"cron":"0 2 * * *"}}}},"rules":[{rules}]}}"#
    );
    lint_text(text.as_bytes())
}

fn rule(id: &str, effect: &str, when: &str) -> String {
    serde_json::json!({ "id": id, "effect": effect, "when": when }).to_string()
}

/// Checks the findings of one rule: (severity, part of the message).
#[track_caller]
fn check(effect: &str, when: &str, expected: &[(Severity, &str)]) {
    // The last rule gives wakes a way back, and can itself fight with nothing.
    let back = rule("back", "retire", "intent.objective == 'end'");
    check_rules(&[rule("r", effect, when), back], expected);
}

#[track_caller]
fn check_rules(rules: &[String], expected: &[(Severity, &str)]) {
    let found = findings(&rules.join(","));
    let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{texts:#?}");
    for (finding, (severity, part)) in found.iter().zip(expected) {
        assert_eq!(finding.severity, *severity, "{finding}");
        assert!(finding.to_string().contains(part), "{finding}");
    }
}

use Severity::{Error, Note, Warning};

#[test]
fn good_rules_are_passed_over() {
    check("hold", "memory.busy", &[]);
    check("rest", "machine.idle_s > 300 && memory.n < 10", &[]);
    check("wake", "due.night && memory.level < 1.0", &[]);
    check("deny_wake", "request.path.startsWith('/admin')", &[]);
    check("hold", "has(memory.busy) && memory.n + 1 > 3", &[]);
    check("notify", "memory.step in ['yes', 'no']", &[]);
}

#[test]
fn rules_that_can_never_be_true() {
    let never = [(Warning, "can never be true")];
    check("wake", "false", &never);
    check("wake", "1 > 2", &never);
    check("wake", "memory.n > 10", &never);
    check("wake", "memory.n < 0", &never);
    check("wake", "memory.n > 5 && memory.n < 3", &never);
    check("wake", "memory.n > 5 && memory.n < 6", &never);
    check("wake", "memory.level > 0.5 && memory.level < 0.5", &never);
    check("wake", "memory.step == 'yes' && memory.step == 'no'", &never);
    check("wake", "memory.busy && !memory.busy", &never);
    check("wake", "inbox.depth == 0 && inbox.oldest_s > 10", &never);
    check("wake", "machine.state == 'started' && machine.rest_s > 60", &never);
    check("wake", "inbox.depth < 0", &never);
    check("wake", "1 / 0 > 2", &[]);
    check("wake", "intent.phase == 'a' && intent.phase in ['b', 'c']", &never);
}

#[test]
fn rules_that_are_always_true() {
    check("deny_wake", "true", &[(Warning, "nothing but an override")]);
    check("hold", "inbox.depth >= 0", &[(Warning, "never rest by itself")]);
    check("hold", "memory.level <= 1.0", &[(Warning, "never rest")]);
}

#[test]
fn a_half_open_stretch_is_no_contradiction() {
    check("wake", "memory.level > 0.5 && memory.level < 0.50001", &[]);
    check("wake", "memory.n > 5 && memory.n < 7", &[]);
    check("wake", "intent.phase != 'a' && intent.phase != ''", &[]);
}

#[test]
fn an_until_that_never_comes() {
    let until = r#"{"id":"r","effect":"hold","when":"memory.busy","until":"memory.n > 10"}"#;
    check_rules(&[until.to_owned()], &[(Warning, "never ends once it stands")]);
}

#[test]
fn a_wake_without_a_way_back() {
    let wake = rule("up", "wake", "inbox.depth > 0");
    check_rules(std::slice::from_ref(&wake), &[(Warning, "nothing here puts the machine back")]);
    check_rules(&[wake, rule("down", "rest", "inbox.depth == 0")], &[]);
}

#[test]
fn a_wake_and_a_rest_that_are_both_true() {
    let wake = rule("up", "wake", "memory.n > 3");
    let rest = rule("down", "rest", "memory.n < 5");
    let message = "`up` wakes while `down` rests: memory.n = 4";
    check_rules(&[wake.clone(), rest], &[(Warning, message)]);
    check_rules(&[wake.clone(), rule("down", "rest", "memory.n <= 3")], &[]);
    let other = rule("down", "rest", "machine.idle_s > 300");
    check_rules(&[wake, other], &[(Note, "machine.idle_s = 301")]);
}

#[test]
fn a_wake_that_ends_by_its_until_does_not_fight() {
    let wake = r#"{"id":"up","effect":"wake","when":"memory.n > 3","until":"memory.n >= 5"}"#;
    check_rules(&[wake.to_owned(), rule("down", "rest", "memory.n > 4")], &[]);
}

#[test]
fn a_rule_that_adds_nothing() {
    let (wide, narrow) =
        (rule("wide", "hold", "memory.n > 3"), rule("narrow", "hold", "memory.n > 5"));
    check_rules(
        &[wide.clone(), narrow],
        &[(Note, "`narrow` adds nothing: whenever it stands, so does `wide`")],
    );
    check_rules(
        &[wide.clone(), rule("same", "hold", "3 < memory.n")],
        &[(Note, "`same` adds nothing")],
    );
    check_rules(&[wide, rule("other", "deny_rest", "memory.n > 5")], &[]);
}

#[test]
fn an_alarm_that_is_not_declared() {
    check("hold", "due.nigth", &[(Warning, "did you mean `night`?")]);
    check("hold", "due.lunch", &[(Warning, "self/alarms")]);
}

#[test]
fn errors_come_with_place_and_hint() {
    check("hold", "memory.bussy", &[(Error, "did you mean `busy`?")]);
    check("hold", "memory.step == 'yess'", &[(Error, "did you mean `'yes'`?")]);
    let twice = rule("a", "hold", "memory.busy");
    check_rules(&[twice.clone(), twice], &[(Error, "there is another rule `a`")]);
    let found = findings(&rule("r", "hold", "memory.busy &&\n  memory.n"));
    let position = found[0].position.expect("a place");
    assert_eq!((position.line, position.column, position.offset), (2, 3, 17));
    assert_eq!(found[0].excerpt.as_deref(), Some("  memory.n\n  ^^^^^^^^"));
    assert_eq!(found[0].path, "rules[0].when");
}

#[test]
fn a_large_policy_is_linted_in_bounded_time() {
    let names: Vec<_> = (0..6).map(|n| format!("memory.n == {n}")).collect();
    let others = "inbox.depth > 1 || inbox.oldest_s > 5 || holds > 3 || machine.idle_s > 9";
    let when = format!("{} || {others} || memory.level > 0.5", names.join(" || "));
    let effects = ["wake", "rest", "hold", "deny_rest"];
    let rules: Vec<_> = (0..64).map(|at| rule(&format!("r{at}"), effects[at % 4], &when)).collect();
    let found = findings(&rules.join(","));
    assert!(found.iter().all(|finding| finding.severity < Error), "{found:?}");
}
