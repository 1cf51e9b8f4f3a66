//! `dormouse machine destroy`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::failure::Failure;
use clap::Args;
use client::Client;

/// Longest wait for the end of one machine, in seconds: its program is killed at once, but a host
/// under load takes its time to let go of a disk.
const WAIT_S: u64 = 60;

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
    /// Do not wait until they are gone, and their names free
    #[arg(long, short)]
    detach: bool,
}

pub(super) async fn destroy(context: &Context, args: &DestroyArgs) -> anyhow::Result<()> {
    for machine in &args.machines {
        let wish = MachineArg { machine: machine.clone(), app: args.app.clone() };
        let found = context.find(&wish).await?;
        context.client.destroy(&found.app, &found.id, args.force).await?;
        if !args.detach {
            wait_until_gone(&context.client, &found.app, &found.id).await?;
        }
        context.show(&found.id, String::clone)?;
    }
    Ok(())
}

/// Waits until nothing is left of the machine, and another may have its name.
pub(in crate::verbs) async fn wait_until_gone(
    client: &Client,
    app: &str,
    id: &str,
) -> anyhow::Result<()> {
    match client.wait(app, id, &["destroyed"], WAIT_S).await {
        Ok(_) => Ok(()),
        // Its tombstone went before the question came.
        Err(error) if error.code() == Some("machine_not_found") => Ok(()),
        Err(error) if error.code() == Some("wait_timeout") => {
            let message = format!("machine {id} is still being destroyed");
            let hint = format!("`dormouse machine events {id}` says what it waits for");
            Err(Failure::new(message, hint).into())
        }
        Err(error) => Err(error.into()),
    }
}
