//! `dormouse machine cordon` and `uncordon`.

use crate::args::MachineArg;
use crate::context::Context;
use clap::Args;

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct RoutingArgs {
    /// Ids or names of machines
    #[arg(required = true)]
    machines: Vec<String>,
    /// Look only in this app
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true)]
    app: Option<String>,
}

pub(super) async fn set_cordoned(
    context: &Context,
    args: &RoutingArgs,
    is_cordoned: bool,
) -> anyhow::Result<()> {
    for machine in &args.machines {
        let wish = MachineArg { machine: machine.clone(), app: args.app.clone() };
        let found = context.find(&wish).await?;
        context.client.set_cordoned(&found.app, &found.id, is_cordoned).await?;
        context.show(&found.id, String::clone)?;
    }
    Ok(())
}
