//! `dormouse machine list`.

use crate::context::Context;
use crate::output;
use api::contract::OrgMachine;
use clap::Args;

/// Which machines.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only of this app
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true)]
    app: Option<String>,
    /// Only ids, one a line
    #[arg(long, short)]
    quiet: bool,
}

pub(super) async fn list(context: &Context, args: &ListArgs) -> anyhow::Result<()> {
    let mut machines = context.client.all_machines().await?;
    machines.retain(|machine| args.app.as_ref().is_none_or(|app| *app == machine.app_name));
    machines.sort_by(|a, b| {
        (&a.app_name, &a.created_at, &a.id).cmp(&(&b.app_name, &b.created_at, &b.id))
    });
    context.show(&machines, |machines| {
        if args.quiet {
            return machines.iter().map(|m| m.id.as_str()).collect::<Vec<_>>().join("\n");
        }
        let row = |machine: &OrgMachine| {
            let image = machine.config["image"].as_str().unwrap_or_default().to_owned();
            [
                machine.id.clone(),
                machine.name.clone(),
                machine.app_name.clone(),
                machine.state.clone(),
                image,
                machine.private_ip.clone(),
                machine.created_at.clone(),
            ]
        };
        let rows: Vec<_> = machines.iter().map(row).collect();
        output::table(["ID", "NAME", "APP", "STATE", "IMAGE", "ADDRESS", "CREATED"], &rows)
    })
}
