//! `dormouse machine start`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;
use clap::Args;

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Ids or names of machines
    #[arg(required = true)]
    machines: Vec<String>,
    /// Look only in this app
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true)]
    app: Option<String>,
    /// Show where the time went
    #[arg(long)]
    timing: bool,
}

pub(super) async fn start(context: &Context, args: &StartArgs) -> anyhow::Result<()> {
    for machine in &args.machines {
        let wish = MachineArg { machine: machine.clone(), app: args.app.clone() };
        let found = context.find(&wish).await?;
        let outcome = context.client.start(&found.app, &found.id).await?;
        context.show(&outcome.started, |_| found.id.clone())?;
        if args.timing {
            let parts: Vec<_> =
                outcome.timings.iter().map(|(part, ms)| format!("{part} {ms:.3} ms")).collect();
            output::notice(&parts.join(", "));
        }
    }
    Ok(())
}
