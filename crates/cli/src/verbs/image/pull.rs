//! `dormouse image pull`.

use crate::context::Context;
use crate::pull::{Watcher, outcome};
use crate::{images, output};
use clap::Args;

/// Which image.
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Reference, e.g. `debian:12` or `registry.example.com/team/web@sha256:…`
    reference: String,
}

pub(super) async fn pull(context: &Context, args: &PullArgs) -> anyhow::Result<()> {
    let client = images::with_credentials(&context.client, &args.reference)?;
    let watcher = if context.is_json { Watcher::Program } else { Watcher::Person };
    let pulled = crate::pull::pull(&client, &args.reference, watcher).await?;
    if !context.is_json {
        output::line(&outcome(&pulled))?;
    }
    Ok(())
}
