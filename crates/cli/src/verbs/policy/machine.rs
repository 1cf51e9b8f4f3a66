//! `dormouse policy set|show|clear`, and dry runs for a machine as it is.

use super::{DryRunArgs, SetArgs, read};
use crate::args::MachineArg;
use crate::context::Context;
use crate::failure::finding_text;
use crate::output::{self, one_line};
use crate::verbs::memory::show_written;
use anyhow::Context as _;
use api::contract::selfhood::{DryRun, DryRunRequest, RuleSays, Written};
use serde_json::Value;
use std::process::ExitCode;

pub(super) async fn set(context: &Context, args: &SetArgs) -> anyhow::Result<ExitCode> {
    let text = String::from_utf8(read(&args.file)?).context("a policy is JSON in UTF-8")?;
    let found = context.find(&args.machine).await?;
    let (hash, if_revision) = (args.hash.as_deref(), args.if_revision);
    let set = context.client.set_policy(&found.app, &found.id, &text, hash, if_revision).await?;
    if context.is_json {
        output::json(&set)?;
        return Ok(ExitCode::SUCCESS);
    }
    set.findings.iter().for_each(|finding| output::notice(&finding_text(finding)));
    output::line(&set.hash)?;
    show_written(context, &Written { revision: set.revision })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(context: &Context, machine: &MachineArg) -> anyhow::Result<ExitCode> {
    let found = context.find(machine).await?;
    let policy = context.client.policy(&found.app, &found.id).await?;
    if policy.policy.is_null() && !context.is_json {
        output::notice("it has no policy");
    } else {
        context.show(&policy, |policy| format!("{:#}", policy.policy))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn clear(context: &Context, machine: &MachineArg) -> anyhow::Result<ExitCode> {
    let found = context.find(machine).await?;
    let written = context.client.remove_policy(&found.app, &found.id).await?;
    show_written(context, &written)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn dry_run(
    context: &Context,
    machine: &MachineArg,
    args: &DryRunArgs,
) -> anyhow::Result<ExitCode> {
    let policy = args.file.as_deref().map(|file| {
        let text = read(file)?;
        serde_json::from_slice::<Value>(&text)
            .with_context(|| format!("`{}` is no JSON", file.display()))
    });
    let wish = DryRunRequest {
        policy: policy.transpose()?,
        memory: args.memory.clone(),
        writes: None,
        writer: args.writer.clone(),
    };
    let found = context.find(machine).await?;
    let run = context.client.dry_run(&found.app, &found.id, &wish).await?;
    context.show(&run, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(run: &DryRun) -> String {
    let row = |rule: &RuleSays| {
        let reads = rule.when.reads.iter().map(|read| format!("{} = {}", read.name, read.value));
        [
            rule.id.clone(),
            rule.effect.clone(),
            rule.when.is.clone(),
            if rule.stands { "yes".to_owned() } else { String::new() },
            rule.next.map(|at| at.to_string()).unwrap_or_default(),
            one_line(&reads.collect::<Vec<_>>().join(", ")),
        ]
    };
    let rows: Vec<_> = run.rules.iter().map(row).collect();
    let mut lines = vec![
        output::table(["RULE", "EFFECT", "WHEN", "STANDS", "CHANGES", "READS"], &rows),
        one_line(&run.decision.line),
    ];
    lines.extend(run.happened.iter().map(|what| one_line(what)));
    lines.extend(run.notify.iter().map(|notify| format!("rule `{}` would notify", notify.rule)));
    lines.extend(run.next_at.map(|at| format!("looked at again at {at}")));
    lines.join("\n")
}
