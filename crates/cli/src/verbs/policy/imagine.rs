//! `dormouse policy dry-run FILE`: for a machine that nobody has.

use super::lint;
use crate::args::Global;
use crate::failure::Failure;
use crate::output;
use ::policy::{Policy, RuleReport};
use api::contract::selfhood::{MemoryPatch, Moment};
use govern::{Explanation, Selfhood, View, Write, Writer};
use model::{Machine, State, UnixMs};
use serde::Serialize;
use std::process::ExitCode;

/// Where to look when a refusal has no hint of its own.
const LINT_HINT: &str = "`dormouse policy lint` checks the document";

/// What a dry run shows.
#[derive(Debug, Serialize)]
struct Imagined {
    rules: Vec<RuleReport>,
    explanation: Explanation,
}

pub(super) fn dry_run(
    global: &Global,
    text: &[u8],
    memory: Option<&MemoryPatch>,
) -> anyhow::Result<ExitCode> {
    let Ok(policy) = Policy::parse(text) else { return lint(global, text) };
    let imagined = imagine(&policy, memory, model::clock::now())?;
    if global.json {
        output::json(&imagined)?;
    } else {
        let row = |rule: &RuleReport| {
            let next = rule.next.map(|at| Moment(at).to_string()).unwrap_or_default();
            [rule.id.to_string(), rule.effect.to_string(), word(&rule.when.truth), next]
        };
        let rows: Vec<_> = imagined.rules.iter().map(row).collect();
        output::line(&output::table(["RULE", "EFFECT", "WHEN", "CHANGES"], &rows))?;
        output::line(&imagined.explanation.sentence)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What would be decided for a machine that has just been put to sleep under `policy`.
fn imagine(policy: &Policy, memory: Option<&MemoryPatch>, now: UnixMs) -> anyhow::Result<Imagined> {
    let mut writes =
        vec![Write::Policy { text: policy.document().canonical(), hash: None, if_match: None }];
    writes.extend(memory.map(|patch| Write::Memory { patch: patch.clone(), if_match: None }));
    let machine = asleep(now);
    let view = View::of(&machine);
    let none = govern::no_policy();
    let run = govern::dry_run(&Selfhood::default(), &none, &writes, &Writer::Owner, &view, now);
    let run = run.map_err(|refused| {
        Failure::new(refused.to_string(), refused.hint().unwrap_or_else(|| LINT_HINT.to_owned()))
    })?;
    let explanation = govern::explain(&run.verdict.next, policy, &view, now);
    Ok(Imagined { rules: run.rules, explanation })
}

fn asleep(since: UnixMs) -> Machine {
    Machine {
        state: State::Stopped { since, exit: None },
        revision: 0,
        restarts: model::restart::RestartLog::default(),
        owed: None,
        hold_down: None,
        nudges: model::state::Nudges::default(),
        unprepared: None,
    }
}

/// The word that stands for a value in JSON.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(named)) => named.keys().next().cloned().unwrap_or_default(),
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Policy, imagine, word};
    use serde_json::json;

    #[test]
    fn a_dry_run_says_what_would_be_decided() {
        let text = br#"{"facts": {"watching": {"type": "bool", "default": false}},
            "rules": [{"id": "duty", "effect": "wake", "when": "memory.watching"},
                      {"id": "done", "effect": "rest", "when": "!memory.watching"}]}"#;
        let policy = Policy::parse(text).unwrap();
        let now = model::UnixMs(1_700_000_000_000);
        let patch = |value| [("watching".to_owned(), value)].into();
        let truth_of_duty = |memory| {
            let imagined = imagine(&policy, memory, now).unwrap();
            assert!(!imagined.explanation.sentence.is_empty());
            word(&imagined.rules[0].when.truth)
        };
        assert_eq!(truth_of_duty(None), "false");
        assert_eq!(truth_of_duty(Some(&patch(json!(true)))), "true");
        assert!(imagine(&policy, Some(&patch(json!(1))), now).is_err());
    }
}
