//! `dormouse rest`: what a machine waits for by its own word.

use super::memory::show_written;
use crate::args::MachineArg;
use crate::context::Context;
use crate::output::{self, one_line};
use api::contract::selfhood::Rest;
use clap::Args;
use std::process::ExitCode;

/// Of which machine.
#[derive(Debug, Args)]
pub(crate) struct RestArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// Take it back; a machine that rests already stays down until something else wakes it
    #[arg(long)]
    clear: bool,
}

pub(super) async fn rest(context: &Context, args: &RestArgs) -> anyhow::Result<ExitCode> {
    let found = context.find(&args.machine).await?;
    if args.clear {
        let written = context.client.clear_rest(&found.app, &found.id).await?;
        show_written(context, &written)?;
    } else {
        let rest = context.client.whole_self(&found.app, &found.id).await?.rest;
        context.show(&rest, |rest| {
            rest.as_ref().map_or_else(|| "it has asked for no rest".to_owned(), text)
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A rest in a few lines.
pub(super) fn text(rest: &Rest) -> String {
    let mode = serde_json::to_value(rest.mode).unwrap_or_default();
    output::pairs(&[
        ("name", rest.name.clone()),
        ("mode", mode.as_str().unwrap_or_default().to_owned()),
        ("until", one_line(rest.until.as_deref().unwrap_or_default())),
        ("at", rest.at.map(|at| at.to_string()).unwrap_or_default()),
        ("note", one_line(&rest.note)),
        ("phase", format!("{} since {}", rest.phase, rest.since)),
    ])
}
