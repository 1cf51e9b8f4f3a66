//! `dormouse hold-down …`: nothing wakes the machine.

use super::memory::show_written;
use crate::args::MachineArg;
use crate::context::Context;
use crate::output::one_line;
use crate::values;
use api::contract::selfhood::{HoldDownPut, HoldDownReply, Moment};
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// What to do with a hold-down.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldDownVerb {
    /// Let nothing wake a machine: no call, request, rule or alarm
    Put(PutArgs),
    /// Let it be woken again
    Release(MachineArg),
    /// Show whether a machine is held down
    Show(MachineArg),
}

/// Which machine, and why.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    /// Until: `+8h`, `09:00` (the next, UTC), or RFC 3339; until it is released by default
    #[arg(long, value_name = "WHEN", value_parser = values::moment)]
    until: Option<Moment>,
}

pub(super) async fn hold_down(context: &Context, verb: &HoldDownVerb) -> anyhow::Result<ExitCode> {
    match verb {
        HoldDownVerb::Put(args) => {
            let found = context.find(&args.machine).await?;
            let wish = HoldDownPut { reason: args.reason.clone(), until: args.until };
            let written = context.client.put_hold_down(&found.app, &found.id, &wish).await?;
            show_written(context, &written)?;
        }
        HoldDownVerb::Release(machine) => {
            let found = context.find(machine).await?;
            let written = context.client.release_hold_down(&found.app, &found.id).await?;
            show_written(context, &written)?;
        }
        HoldDownVerb::Show(machine) => {
            let found = context.find(machine).await?;
            let reply = context.client.hold_down(&found.app, &found.id).await?;
            context.show(&reply, text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(reply: &HoldDownReply) -> String {
    let Some(hold) = &reply.hold_down else { return "it is not held down".to_owned() };
    let until = hold.until.map_or_else(|| "it is released".to_owned(), |at| at.to_string());
    let reason = if hold.reason.is_empty() { "no reason given" } else { &hold.reason };
    format!("held down until {until}: {}", one_line(reason))
}
