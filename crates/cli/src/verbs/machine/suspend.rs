//! `dormouse machine suspend`.

use crate::args::MachineArg;
use crate::context::Context;
use clap::{Args, ValueEnum};

/// How deep a machine sleeps with its RAM.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Depth {
    /// Processes stand still, RAM stays
    Freeze,
    /// RAM goes to disk
    Suspend,
}

/// Which machine, how deep.
#[derive(Debug, Args)]
pub(crate) struct SuspendArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// How deep; by default what its engine can
    #[arg(long)]
    depth: Option<Depth>,
}

pub(super) async fn suspend(context: &Context, args: &SuspendArgs) -> anyhow::Result<()> {
    let depth = args.depth.map(|depth| match depth {
        Depth::Freeze => "freeze",
        Depth::Suspend => "suspend",
    });
    let found = context.find(&args.machine).await?;
    context.client.suspend(&found.app, &found.id, depth).await?;
    context.show(&found.id, String::clone)
}
