//! `dormouse region …`: where machines may be, which is this host.

use crate::context::Context;
use crate::output;
use api::contract::app::DEFAULT_ORG;
use api::contract::config::Guest;
use api::contract::platform::FindPlacements;
use clap::Subcommand;
use std::process::ExitCode;

/// What to show.
#[derive(Debug, Subcommand)]
pub(crate) enum RegionVerb {
    /// List regions
    #[command(visible_alias = "ls")]
    List,
    /// Say how many machines of a size there is room for now
    Room {
        /// CPUs of each
        #[arg(long, default_value_t = 1)]
        cpus: u32,
        /// RAM of each in MiB
        #[arg(long, value_name = "MIB", default_value_t = 256)]
        memory: u32,
    },
}

pub(super) async fn region(context: &Context, verb: &RegionVerb) -> anyhow::Result<ExitCode> {
    match verb {
        RegionVerb::List => {
            let regions = context.client.regions().await?;
            context.show(&regions.regions, |regions| {
                let rows: Vec<_> =
                    regions.iter().map(|one| [one.code.clone(), one.name.clone()]).collect();
                output::table(["CODE", "NAME"], &rows)
            })?;
        }
        RegionVerb::Room { cpus, memory } => {
            let size = Guest {
                cpu_kind: Some("shared".to_owned()),
                cpus: Some(*cpus),
                memory_mb: Some(*memory),
                ..Guest::default()
            };
            let wish = FindPlacements {
                org_slug: Some(DEFAULT_ORG.to_owned()),
                compute: Some(size),
                ..FindPlacements::default()
            };
            let room = context.client.placements(&wish).await?;
            context.show(&room.regions, |regions| {
                let rows: Vec<_> =
                    regions.iter().map(|one| [one.region.clone(), one.count.to_string()]).collect();
                output::table(["REGION", "MACHINES"], &rows)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
