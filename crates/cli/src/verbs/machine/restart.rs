//! `dormouse machine restart`.

use super::stop::How;
use crate::args::MachineArg;
use crate::context::Context;
use clap::Args;

/// Which machine, and how it is stopped.
#[derive(Debug, Args)]
pub(crate) struct RestartArgs {
    #[command(flatten)]
    machine: MachineArg,
    #[command(flatten)]
    how: How,
}

pub(super) async fn restart(context: &Context, args: &RestartArgs) -> anyhow::Result<()> {
    let found = context.find(&args.machine).await?;
    context.client.restart(&found.app, &found.id, &args.how.into()).await?;
    context.show(&found.id, String::clone)
}
