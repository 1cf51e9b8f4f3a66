//! `dormouse machine destroy`.

use crate::args::MachineArg;
use crate::context::Context;
use clap::Args;

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    /// Ids or names of machines
    #[arg(required = true)]
    machines: Vec<String>,
    /// Look only in this app
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true)]
    app: Option<String>,
    /// Also when they are up
    #[arg(long, short)]
    force: bool,
}

pub(super) async fn destroy(context: &Context, args: &DestroyArgs) -> anyhow::Result<()> {
    for machine in &args.machines {
        let wish = MachineArg { machine: machine.clone(), app: args.app.clone() };
        let found = context.find(&wish).await?;
        context.client.destroy(&found.app, &found.id, args.force).await?;
        context.show(&found.id, String::clone)?;
    }
    Ok(())
}
