//! `dormouse policy …`: rules by which a machine governs its own sleep.
//!
//! * `imagine`: what a policy means, without a daemon. `machine`: the policy of a machine.

mod imagine;
mod machine;

use crate::args::{Global, MachineArg};
use crate::context;
use crate::output;
use ::policy::{Finding, Severity};
use anyhow::Context as _;
use api::contract::selfhood::MemoryPatch;
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{Read as _, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Most bytes that are read: a policy that is longer is refused, but not before it is named.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// What to do with a policy.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Set the policy of a machine
    Set(SetArgs),
    /// Show the policy of a machine
    Show(MachineArg),
    /// Take the policy of a machine away
    Clear(MachineArg),
    /// Check a policy: types, names, rules that can never fire or undo each other
    Lint(LintArgs),
    /// Say what would be decided under a policy or with other facts, and when that would change
    DryRun(DryRunArgs),
}

/// Of which machine, which policy.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// The file, JSON; `-` is standard input
    file: PathBuf,
    /// Only if this is the name of its content, `sha256:…`
    #[arg(long)]
    hash: Option<String>,
    /// Only while this is the machine's revision
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
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
    /// The file, JSON; `-` is standard input; by default the policy of `--machine`
    #[arg(required_unless_present = "machine")]
    file: Option<PathBuf>,
    /// For this machine as it is, by id or name; by default for one that is asleep and new
    #[arg(long, short)]
    machine: Option<String>,
    /// Look for the machine only in this app
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true)]
    app: Option<String>,
    /// Facts that would be written, a JSON object; others are as they are
    #[arg(long, value_name = "FACTS", value_parser = facts)]
    memory: Option<MemoryPatch>,
    /// Who would write: `self`, `owner`, `token:NAME`, `peer:NAME`
    #[arg(long = "as", value_name = "WRITER", requires = "machine")]
    writer: Option<String>,
}

fn facts(text: &str) -> Result<MemoryPatch, String> {
    serde_json::from_str(text).map_err(|error| format!("expected a JSON object: {error}"))
}

pub(super) fn policy(global: &Global, verb: &PolicyVerb) -> anyhow::Result<ExitCode> {
    match verb {
        PolicyVerb::Set(args) => context::run(global, async |c| machine::set(c, args).await),
        PolicyVerb::Show(args) => context::run(global, async |c| machine::show(c, args).await),
        PolicyVerb::Clear(args) => context::run(global, async |c| machine::clear(c, args).await),
        PolicyVerb::Lint(args) => lint(global, &read(&args.file)?),
        PolicyVerb::DryRun(args) => match (&args.machine, &args.file) {
            (Some(machine), _) => {
                let machine = MachineArg { machine: machine.clone(), app: args.app.clone() };
                context::run(global, async |c| machine::dry_run(c, &machine, args).await)
            }
            (None, Some(file)) => imagine::dry_run(global, &read(file)?, args.memory.as_ref()),
            (None, None) => unreachable!("the definition of the words wants one of them"),
        },
    }
}

/// Prints what there is to say; fails when the policy would be refused.
fn lint(global: &Global, text: &[u8]) -> anyhow::Result<ExitCode> {
    let findings = ::policy::lint_text(text);
    for finding in &findings {
        if global.json { output::json(finding)? } else { output::line(&finding.to_string())? }
    }
    let is_refused = findings.iter().any(|finding: &Finding| finding.severity == Severity::Error);
    if findings.is_empty() && !global.json {
        output::notice("nothing to say against it");
    }
    Ok(if is_refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
    use super::lint;
    use crate::args::{Cli, Verb};
    use clap::Parser as _;
    use std::process::ExitCode;

    #[track_caller]
    fn check(text: &str, expected: ExitCode) {
        let cli = Cli::parse_from(["dormouse", "policy", "lint", "x.json"]);
        assert!(matches!(cli.verb, Verb::Policy(_)));
        assert_eq!(lint(&cli.global, text.as_bytes()).unwrap(), expected, "{text}");
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
}
