//! `dormouse machine stop`.

use crate::args::MachineArg;
use crate::context::Context;
use api::contract::signal::Signal;
use api::contract::{GoDuration, StopRequest};
use clap::Args;

/// How a program is asked to end.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct How {
    /// Signal, instead of the machine's own
    #[arg(long, short)]
    signal: Option<Signal>,
    /// Time to obey, e.g. `10s`, instead of the machine's own
    #[arg(long, short)]
    timeout: Option<GoDuration>,
}

impl From<How> for StopRequest {
    fn from(how: How) -> Self {
        Self { signal: how.signal, timeout: how.timeout }
    }
}

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Ids or names of machines
    #[arg(required = true)]
    machines: Vec<String>,
    /// Look only in this app
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true)]
    app: Option<String>,
    #[command(flatten)]
    how: How,
}

pub(super) async fn stop(context: &Context, args: &StopArgs) -> anyhow::Result<()> {
    let how = StopRequest::from(args.how);
    for machine in &args.machines {
        let wish = MachineArg { machine: machine.clone(), app: args.app.clone() };
        let found = context.find(&wish).await?;
        context.client.stop(&found.app, &found.id, &how).await?;
        context.show(&found.id, String::clone)?;
    }
    Ok(())
}
