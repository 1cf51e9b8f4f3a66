//! `dormouse down`: the end of an instance; its data stays.

use crate::args::Global;
use crate::context;
use crate::output;
use api::contract::{OrgMachine, StopRequest};
use clap::Args;
use client::{Client, ClientError};
use std::process::ExitCode;

/// What to end.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Kill machines instead of asking them to stop, whoever holds their lease
    #[arg(long)]
    force: bool,
}

pub(super) fn down(global: &Global, args: &DownArgs) -> anyhow::Result<ExitCode> {
    if let Err(error) = context::run(global, async |c| stop_all(&c.client, args.force).await) {
        output::notice(&format!("warning: machines were not asked to stop: {error:#}"));
    }
    daemon::down::down(&global.data_dir)?;
    Ok(ExitCode::SUCCESS)
}

/// Nothing of it runs. Its RAM is data on the disk, which stays.
async fn is_on_disk(client: &Client, machine: &OrgMachine) -> Result<bool, ClientError> {
    let machine = client.machine(&machine.app_name, &machine.id).await?;
    Ok(machine.sleep.is_some_and(|sleep| sleep.depth == "suspend"))
}

async fn stop_all(client: &Client, force: bool) -> anyhow::Result<ExitCode> {
    let signal = force.then_some(api::contract::signal::Signal::KILL);
    let mut stops = tokio::task::JoinSet::new();
    for machine in client.all_machines().await? {
        if matches!(machine.state.as_str(), "stopped" | "failed" | "destroyed") {
            continue;
        }
        let client = client.clone();
        stops.spawn(async move {
            if machine.state == "suspended" && is_on_disk(&client, &machine).await? {
                return Ok(());
            }
            let how = StopRequest { signal, timeout: None };
            if force {
                client.end(&machine.app_name, &machine.id, &how).await?;
            } else {
                client.stop(&machine.app_name, &machine.id, &how).await?;
            }
            // A stop of 300 s is the longest there is.
            for _ in 0..6 {
                let states = ["stopped", "failed", "destroyed"];
                match client.wait(&machine.app_name, &machine.id, &states, 60).await {
                    Err(error) if error.code() == Some("wait_timeout") => {}
                    other => return other.map(|_| ()),
                }
            }
            Ok::<(), ClientError>(())
        });
    }
    while let Some(stopped) = stops.join_next().await {
        if let Err(error) = stopped? {
            output::notice(&format!("warning: {error}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
