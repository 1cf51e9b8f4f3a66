//! `dormouse intent`: what a machine is for, and how far it has come.

use super::memory::show_written;
use crate::args::MachineArg;
use crate::context::Context;
use crate::output::{self, one_line};
use api::contract::selfhood::{IntentChange, IntentReply};
use clap::Args;
use std::process::ExitCode;

/// Of which machine, and what changes; shows it when nothing does.
#[derive(Debug, Args)]
pub(crate) struct IntentArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    objective: Option<String>,
    /// What it is busy with
    #[arg(long, value_name = "TEXT")]
    phase: Option<String>,
    /// Whether its objective is reached
    #[arg(long, value_name = "BOOL")]
    done: Option<bool>,
}

pub(super) async fn intent(context: &Context, args: &IntentArgs) -> anyhow::Result<ExitCode> {
    let found = context.find(&args.machine).await?;
    let change = IntentChange {
        objective: args.objective.clone(),
        phase: args.phase.clone(),
        done: args.done,
    };
    if change == IntentChange::default() {
        let reply = context.client.intent(&found.app, &found.id).await?;
        context.show(&reply, text)?;
    } else {
        let written = context.client.change_intent(&found.app, &found.id, &change).await?;
        show_written(context, &written)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(reply: &IntentReply) -> String {
    let done = if reply.intent.done { "yes" } else { "no" };
    output::pairs(&[
        ("objective", one_line(&reply.intent.objective)),
        ("phase", one_line(&reply.intent.phase)),
        ("done", done.to_owned()),
    ])
}
