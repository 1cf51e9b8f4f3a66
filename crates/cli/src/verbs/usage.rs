//! `dormouse usage`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;
use clap::Args;
use std::process::ExitCode;

/// Whose use.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// Id or name of a machine
    machine: Option<String>,
    /// Of this app
    #[arg(long, short)]
    app: Option<String>,
}

pub(super) async fn usage(context: &Context, args: &UsageArgs) -> anyhow::Result<ExitCode> {
    let usage = match &args.machine {
        Some(machine) => {
            let wish = MachineArg { machine: machine.clone(), app: args.app.clone() };
            let found = context.find(&wish).await?;
            context.client.usage(Some(&found.app), Some(&found.id)).await?
        }
        None => context.client.usage(args.app.as_deref(), None).await?,
    };
    context.show(&usage, |usage| {
        output::pairs(&[
            ("started", format!("{:.1} s", usage.started_s)),
            ("cpu", format!("{:.3} s", usage.cpu_s)),
        ])
    })?;
    Ok(ExitCode::SUCCESS)
}
