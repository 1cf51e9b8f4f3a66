//! `dormouse breaker reset`: wakes may be tried again.

use super::memory::show_written;
use crate::args::MachineArg;
use crate::context::Context;
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with a circuit breaker.
#[derive(Debug, Subcommand)]
pub(crate) enum BreakerVerb {
    /// Close it, and forget failed wakes and wakes without progress
    Reset(MachineArg),
}

pub(super) async fn breaker(context: &Context, verb: &BreakerVerb) -> anyhow::Result<ExitCode> {
    let BreakerVerb::Reset(machine) = verb;
    let found = context.find(machine).await?;
    let written = context.client.reset_breaker(&found.app, &found.id).await?;
    show_written(context, &written)?;
    Ok(ExitCode::SUCCESS)
}
