//! `dormouse machine signal` and `kill`.

use crate::args::MachineArg;
use crate::context::Context;
use api::contract::signal::Signal;
use clap::Args;

/// Which machine, which signal.
#[derive(Debug, Args)]
pub(crate) struct SignalArgs {
    #[command(flatten)]
    machine: MachineArg,
    /// The signal, e.g. `SIGHUP`
    signal: Signal,
}

pub(super) async fn signal(context: &Context, args: &SignalArgs) -> anyhow::Result<()> {
    send(context, &args.machine, args.signal).await
}

pub(super) async fn kill(context: &Context, args: &MachineArg) -> anyhow::Result<()> {
    send(context, args, Signal::KILL).await
}

async fn send(context: &Context, machine: &MachineArg, signal: Signal) -> anyhow::Result<()> {
    let found = context.find(machine).await?;
    context.client.signal(&found.app, &found.id, signal).await?;
    context.show(&found.id, String::clone)
}
