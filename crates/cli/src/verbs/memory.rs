//! `dormouse memory …`: what a machine knows.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output::{self, one_line};
use crate::values::{self, FactWord};
use api::contract::GoDuration;
use api::contract::selfhood::{Fact, Memory, MemoryPatch, Written};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::process::ExitCode;

/// What to do with facts.
#[derive(Debug, Subcommand)]
pub(crate) enum MemoryVerb {
    /// Show a fact, or all of them
    Get(GetArgs),
    /// Write facts, all of them or none
    Set(SetArgs),
    /// Remove facts
    Unset(UnsetArgs),
}

/// Which facts, and when.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Only this fact; without `--json` its value alone
    key: Option<String>,
    /// Wait until the machine's revision is greater than this
    #[arg(long, value_name = "REVISION")]
    after: Option<u64>,
    /// How long to wait, at most a minute
    #[arg(long, short, default_value = "60s", requires = "after")]
    timeout: GoDuration,
}

/// Which facts become what.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Facts; a value that is JSON is meant so, any other is a text
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = values::fact)]
    facts: Vec<FactWord>,
    /// Only while this is the machine's revision
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
}

/// Which facts go.
#[derive(Debug, Args)]
pub(crate) struct UnsetArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Facts
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
    /// Only while this is the machine's revision
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
}

pub(super) async fn memory(context: &Context, verb: &MemoryVerb) -> anyhow::Result<ExitCode> {
    match verb {
        MemoryVerb::Get(args) => get(context, args).await?,
        MemoryVerb::Set(args) => {
            let patch = args.facts.iter().cloned().collect();
            change(context, &args.machine, &patch, args.if_revision).await?;
        }
        MemoryVerb::Unset(args) => {
            let patch = args.keys.iter().map(|key| (key.clone(), Value::Null)).collect();
            change(context, &args.machine, &patch, args.if_revision).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn get(context: &Context, args: &GetArgs) -> anyhow::Result<()> {
    let found = context.find(&args.machine).await?;
    let (app, id) = (&found.app, &found.id);
    let mut memory = Memory::default();
    if let Some(after) = args.after {
        let timeout_s = args.timeout.to_ms().0.div_ceil(1000);
        memory = context.client.wait_memory(app, id, after, timeout_s).await?;
    } else if args.key.is_none() {
        memory = context.client.memory(app, id).await?;
    }
    match &args.key {
        Some(key) => {
            let fact = context.client.fact(app, id, key).await?;
            context.show(&fact, |reply| value(&reply.fact))
        }
        None => context.show(&memory, table),
    }
}

async fn change(
    context: &Context,
    machine: &MachineArg,
    patch: &MemoryPatch,
    if_revision: Option<u64>,
) -> anyhow::Result<()> {
    let found = context.find(machine).await?;
    let written = context.client.patch_memory(&found.app, &found.id, patch, if_revision).await?;
    show_written(context, &written)
}

/// What every write shows.
pub(super) fn show_written(context: &Context, written: &Written) -> anyhow::Result<()> {
    context.show(written, |written| format!("revision {}", written.revision))
}

/// Facts as a table.
fn table(memory: &Memory) -> String {
    let row = |(key, fact): (&String, &Fact)| {
        let writer = fact.writer.clone().unwrap_or_else(|| "(default)".to_owned());
        let at = fact.at.map(|at| at.to_string()).unwrap_or_default();
        let expires = fact.expires_at.map(|at| at.to_string()).unwrap_or_default();
        [key.clone(), one_line(&value(fact)), writer, at, expires]
    };
    let rows: Vec<_> = memory.facts.iter().map(row).collect();
    output::table(["FACT", "VALUE", "WRITER", "AT", "EXPIRES"], &rows)
}

/// The value, such that `memory set` would make the same of it.
pub(super) fn value(fact: &Fact) -> String {
    match &fact.value {
        _ if fact.secret => "(secret)".to_owned(),
        Value::String(text) if serde_json::from_str::<Value>(text).is_err() => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Fact, value};
    use serde_json::{Value, json};

    #[test]
    fn values_read_as_they_are_set() {
        let of = |value: Value| super::value(&Fact { value, ..Fact::default() });
        assert_eq!(of(json!("five")), "five");
        assert_eq!((of(json!("5")), of(json!(5))), ("\"5\"".to_owned(), "5".to_owned()));
        let secret = Fact { secret: true, ..Fact::default() };
        assert_eq!(value(&secret), "(secret)");
    }
}
