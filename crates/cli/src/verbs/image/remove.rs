//! `dormouse image remove`.

use crate::context::Context;
use crate::images;
use clap::Args;

/// Which image.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Name, digest or beginning of a digest
    image: String,
}

pub(super) async fn remove(context: &Context, args: &RemoveArgs) -> anyhow::Result<()> {
    let digest = images::digest_of(&context.client, &args.image).await?;
    Ok(context.client.remove_image(&digest).await?)
}
