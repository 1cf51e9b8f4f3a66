//! `dormouse hold …`: what keeps a machine awake for a while.

use super::memory::show_written;
use crate::args::MachineArg;
use crate::context::Context;
use crate::output::{self, one_line};
use crate::values;
use api::contract::selfhood::{Hold, HoldPut, Holds, Span};
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// What to do with holds.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldVerb {
    /// Keep a machine awake; putting the same hold again renews it
    Put(PutArgs),
    /// Let go of a hold
    Drop(DropArgs),
    /// List the holds of a machine
    #[command(visible_alias = "ls")]
    List(MachineArg),
}

/// Which hold.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Its name
    name: String,
    /// How long, e.g. `10m`; at most an hour
    #[arg(long = "for", value_name = "SPAN", value_parser = values::span)]
    lasts: Span,
    /// Why
    #[arg(long)]
    reason: Option<String>,
}

/// Which hold.
#[derive(Debug, Args)]
pub(crate) struct DropArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Its name
    name: String,
}

pub(super) async fn hold(context: &Context, verb: &HoldVerb) -> anyhow::Result<ExitCode> {
    match verb {
        HoldVerb::Put(args) => {
            let found = context.find(&args.machine).await?;
            let reason = args.reason.clone();
            let wish = HoldPut { ttl: Some(args.lasts), reason, ..HoldPut::default() };
            let written = context.client.put_hold(&found.app, &found.id, &args.name, &wish).await?;
            show_written(context, &written)?;
        }
        HoldVerb::Drop(args) => {
            let found = context.find(&args.machine).await?;
            let written = context.client.drop_hold(&found.app, &found.id, &args.name).await?;
            show_written(context, &written)?;
        }
        HoldVerb::List(machine) => {
            let found = context.find(machine).await?;
            let holds = context.client.holds(&found.app, &found.id).await?;
            context.show(&holds, table)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(holds: &Holds) -> String {
    let row = |(name, hold): (&String, &Hold)| {
        [name.clone(), hold.expires_at.to_string(), hold.writer.clone(), one_line(&hold.reason)]
    };
    let rows: Vec<_> = holds.holds.iter().map(row).collect();
    output::table(["HOLD", "UNTIL", "BY", "REASON"], &rows)
}
