//! `dormouse machine lease …`. Calls of the holder carry the nonce: `--lease`, or `DORMOUSE_LEASE`.

use crate::args::MachineArg;
use crate::context::Context;
use crate::output;
use api::contract::moment::rfc3339;
use api::contract::{Lease, LeaseRequest};
use clap::Subcommand;
use model::UnixMs;

/// What to do with the lease.
#[derive(Debug, Subcommand)]
pub(crate) enum LeaseVerb {
    /// Take it and print its nonce; with `--lease`, extend it
    Take {
        #[command(flatten)]
        machine: MachineArg,
        /// Seconds until it ends by itself, at most 3600
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u64>,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
    },
    /// Show it
    Show(MachineArg),
    /// Give it back; needs `--lease`
    Release(MachineArg),
}

pub(super) async fn lease(context: &Context, verb: &LeaseVerb) -> anyhow::Result<()> {
    match verb {
        LeaseVerb::Take { machine, ttl, description } => {
            let found = context.find(machine).await?;
            let wish = LeaseRequest { ttl: *ttl, description: description.clone() };
            let taken = context.client.take_lease(&found.app, &found.id, &wish).await?;
            context.show(&taken.data, |lease| lease.nonce.clone().unwrap_or_default())
        }
        LeaseVerb::Show(machine) => {
            let found = context.find(machine).await?;
            let lease = context.client.lease(&found.app, &found.id).await?;
            context.show(&lease.data, text)
        }
        LeaseVerb::Release(machine) => {
            let found = context.find(machine).await?;
            context.client.release_lease(&found.app, &found.id).await?;
            context.show(&found.id, String::clone)
        }
    }
}

fn text(lease: &Lease) -> String {
    output::pairs(&[
        ("owner", output::one_line(&lease.owner)),
        ("until", rfc3339(UnixMs(lease.expires_at * 1000))),
        ("for", output::one_line(&lease.description)),
        ("version", lease.version.clone()),
    ])
}
