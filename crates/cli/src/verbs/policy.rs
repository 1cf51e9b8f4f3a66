//! `dormouse policy …`: what a policy means, without a daemon.

use crate::args::Global;
use crate::failure::Failure;
use crate::output;
use ::policy::{Finding, Policy, RuleReport, Severity};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use govern::{Explanation, Selfhood, View, Write, Writer};
use model::{Machine, State, UnixMs};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Most bytes that are read: a policy that is longer is refused, but not before it is named.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Where to look when a refusal has no hint of its own.
const LINT_HINT: &str = "`dormouse policy lint` checks the document";

/// What to do with a policy.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Check a policy: types, names, rules that can never fire or undo each other
    Lint(LintArgs),
    /// Say what a policy would make of a machine that is asleep, and when that would change
    DryRun(DryRunArgs),
}

/// Which policy.
#[derive(Debug, Args)]
pub(crate) struct LintArgs {
    /// The file, JSON; `-` is standard input
    file: PathBuf,
}

/// What to imagine.
#[derive(Debug, Args)]
pub(crate) struct DryRunArgs {
    /// The file, JSON; `-` is standard input
    file: PathBuf,
    /// Facts of the machine's memory, a JSON object; others have their defaults
    #[arg(long, value_name = "FACTS")]
    memory: Option<String>,
}

pub(super) fn policy(global: &Global, verb: &PolicyVerb) -> anyhow::Result<ExitCode> {
    match verb {
        PolicyVerb::Lint(args) => lint(global, &args.file),
        PolicyVerb::DryRun(args) => dry_run(global, args),
    }
}

/// Prints what there is to say; fails when the policy would be refused.
fn lint(global: &Global, file: &Path) -> anyhow::Result<ExitCode> {
    let findings = ::policy::lint_text(&read(file)?);
    for finding in &findings {
        if global.json { output::json(finding)? } else { output::line(&finding.to_string())? }
    }
    let is_refused = findings.iter().any(|finding: &Finding| finding.severity == Severity::Error);
    if findings.is_empty() && !global.json {
        output::notice("nothing to say against it");
    }
    Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What a dry run shows.
#[derive(Debug, Serialize)]
struct Imagined {
    rules: Vec<RuleReport>,
    explanation: Explanation,
}

fn dry_run(global: &Global, args: &DryRunArgs) -> anyhow::Result<ExitCode> {
    let text = read(&args.file)?;
    let Ok(policy) = Policy::parse(&text) else { return lint(global, &args.file) };
    let imagined = imagine(&policy, args.memory.as_deref(), model::clock::now())?;
    if global.json {
        output::json(&imagined)?;
    } else {
        let row = |rule: &RuleReport| {
            let next = rule.next.map_or_else(|| "-".to_owned(), |at| at.0.to_string());
            [rule.id.to_string(), rule.effect.to_string(), word(&rule.when.truth), next]
        };
        let rows: Vec<_> = imagined.rules.iter().map(row).collect();
        output::line(&output::table(["RULE", "EFFECT", "WHEN", "CHANGES (UNIX MS)"], &rows))?;
        output::line(&imagined.explanation.sentence)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What would be decided for a machine that has just been put to sleep under `policy`.
fn imagine(policy: &Policy, memory: Option<&str>, now: UnixMs) -> anyhow::Result<Imagined> {
    let mut writes =
        vec![Write::Policy { text: policy.document().canonical(), hash: None, if_match: None }];
    if let Some(memory) = memory {
        let patch: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(memory).context("`--memory` is not a JSON object")?;
        writes.push(Write::Memory { patch, if_match: None });
    }
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

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = match file.to_str() {
        Some("-") => stdin().lock().take(FILE_MAX_BYTES).read_to_end(&mut text),
        _ => File::open(file).and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut text)),
    };
    read.with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{imagine, lint};
    use crate::args::{Cli, Verb};
    use ::policy::Policy;
    use clap::Parser as _;
    use std::process::ExitCode;

    #[track_caller]
    fn check(text: &str, expected: ExitCode) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let cli = Cli::parse_from(["dormouse", "policy", "lint", file.path().to_str().unwrap()]);
        assert!(matches!(cli.verb, Verb::Policy(_)));
        assert_eq!(lint(&cli.global, file.path()).unwrap(), expected, "{text}");
    }

    #[test]
    fn a_policy_that_would_be_refused_is_a_failure() {
        let rule = |when: &str| {
            format!(r#"{{"rules": [{{"id": "idle", "effect": "rest", "when": "{when}"}}]}}"#)
        };
        check(&rule("machine.idle_s > 300"), ExitCode::SUCCESS);
        check(&rule("machine.idle_s >"), ExitCode::FAILURE);
        check(&rule("machine.idel_s > 300"), ExitCode::FAILURE);
        check("", ExitCode::FAILURE);
    }

    #[test]
    fn a_dry_run_says_what_would_be_decided() {
        let text = br#"{"facts": {"watching": {"type": "bool", "default": false}},
            "rules": [{"id": "duty", "effect": "wake", "when": "memory.watching"},
                      {"id": "done", "effect": "rest", "when": "!memory.watching"}]}"#;
        let policy = Policy::parse(text).unwrap();
        let now = model::UnixMs(1_700_000_000_000);
        let truth_of_duty = |memory| {
            let imagined = imagine(&policy, memory, now).unwrap();
            assert!(!imagined.explanation.sentence.is_empty());
            super::word(&imagined.rules[0].when.truth)
        };
        assert_eq!(truth_of_duty(None), "false");
        assert_eq!(truth_of_duty(Some(r#"{"watching": true}"#)), "true");
        assert!(imagine(&policy, Some(r#"{"watching": 1}"#), now).is_err());
        assert!(imagine(&policy, Some("[]"), now).is_err());
    }
}
