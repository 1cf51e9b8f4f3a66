//! `dormouse usage`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;
use api::contract::host::AppUsage;
use clap::Args;
use std::process::ExitCode;

/// Whose use.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// Id or name of a machine
    machine: Option<String>,
    /// Of this app
    #[arg(long, short)]
    app: Option<String>,
    /// From this moment on, RFC 3339; machine by machine
    #[arg(long, requires = "app", conflicts_with = "machine", value_name = "MOMENT")]
    since: Option<String>,
    /// Until this moment
    #[arg(long, requires = "app", conflicts_with = "machine", value_name = "MOMENT")]
    until: Option<String>,
}

pub(super) async fn usage(context: &Context, args: &UsageArgs) -> anyhow::Result<ExitCode> {
    if let (Some(app), true) = (&args.app, args.since.is_some() || args.until.is_some()) {
        let (since, until) = (args.since.as_deref(), args.until.as_deref());
        let usage = context.client.app_usage(app, since, until).await?;
        context.show(&usage, by_machine)?;
        return Ok(ExitCode::SUCCESS);
    }
    let usage = match &args.machine {
        Some(machine) => {
            let wish = MachineArg { machine: machine.clone(), app: args.app.clone() };
            let found = context.find(&wish).await?;
            context.client.usage(Some(&found.app), Some(&found.id)).await?
        }
        None => context.client.usage(args.app.as_deref(), None).await?,
    };
    context.show(&usage, |usage| {
        output::pairs(&[
            ("started", format!("{:.1} s", usage.started_s)),
            ("cpu", format!("{:.3} s", usage.cpu_s)),
        ])
    })?;
    Ok(ExitCode::SUCCESS)
}

fn by_machine(usage: &AppUsage) -> String {
    let of_machines = usage.machines.iter().map(|one| (&one.machine_id, one.started_s, one.cpu_s));
    let all = "all".to_owned();
    let rows: Vec<_> = of_machines
        .chain([(&all, usage.started_s, usage.cpu_s)])
        .map(|(name, started_s, cpu_s)| {
            [name.clone(), format!("{started_s:.1} s"), format!("{cpu_s:.3} s")]
        })
        .collect();
    output::table(["MACHINE", "STARTED", "CPU"], &rows)
}
