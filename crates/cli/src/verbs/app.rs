//! `dormouse app create|list|rm`.

use crate::context::Context;
use crate::output;
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with apps.
#[derive(Debug, Subcommand)]
pub(crate) enum AppVerb {
    /// Create an app
    Create {
        /// Its name
        name: String,
    },
    /// List apps
    #[command(visible_alias = "ls")]
    List,
    /// Show an app
    Show {
        /// Its name
        name: String,
    },
    /// Show the addresses on which an app is reached
    Addresses {
        /// Its name
        name: String,
    },
    /// Show what happens to the machines of an app, as it happens
    Events {
        /// Its name
        name: String,
    },
    /// Remove an app
    Rm {
        /// Its name
        name: String,
        /// With its machines
        #[arg(long, short)]
        force: bool,
    },
}

pub(super) async fn app(context: &Context, verb: &AppVerb) -> anyhow::Result<ExitCode> {
    match verb {
        AppVerb::Create { name } => {
            let created = context.client.create_app(name).await?;
            context.show(&created, |_| name.clone())?;
        }
        AppVerb::List => {
            let list = context.client.apps().await?;
            context.show(&list.apps, |apps| {
                let row = |app: &api::contract::App| {
                    let count = app.machine_count.to_string();
                    [app.name.clone(), app.status.clone(), count, app.network.clone()]
                };
                let rows: Vec<_> = apps.iter().map(row).collect();
                output::table(["NAME", "STATUS", "MACHINES", "NETWORK"], &rows)
            })?;
        }
        AppVerb::Show { name } => {
            let app = context.client.app(name).await?;
            context.show(&app, |app| {
                output::pairs(&[
                    ("name", app.name.clone()),
                    ("status", app.status.clone()),
                    ("machines", app.machine_count.to_string()),
                    ("network", app.network.clone()),
                    ("organisation", app.organization.slug.clone()),
                ])
            })?;
        }
        AppVerb::Addresses { name } => {
            let addresses = context.client.addresses(name).await?;
            context.show(&addresses.ips, |ips| {
                ips.iter().map(|one| one.ip.clone()).collect::<Vec<_>>().join("\n")
            })?;
        }
        AppVerb::Events { name } => super::machine::events::follow(context, name, None).await?,
        AppVerb::Rm { name, force } => context.client.delete_app(name, *force).await?,
    }
    Ok(ExitCode::SUCCESS)
}
