//! `dormouse image …`.

mod import;
mod list;
mod prune;
mod pull;
mod remove;
mod show;

use crate::context::Context;
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Pull an image from its registry
    Pull(pull::PullArgs),
    /// Make an image from a root file system tarball, an OCI layout or a `docker save` file
    Import(import::ImportArgs),
    /// List images
    #[command(visible_alias = "ls")]
    List,
    /// Show an image
    Show(show::ShowArgs),
    /// Remove images that no machine needs
    Prune(prune::PruneArgs),
    /// Remove an image that no machine needs
    #[command(visible_alias = "rm")]
    Remove(remove::RemoveArgs),
}

pub(super) async fn image(context: &Context, verb: &ImageVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ImageVerb::Pull(args) => pull::pull(context, args).await?,
        ImageVerb::Import(args) => import::import(context, args).await?,
        ImageVerb::List => list::list(context).await?,
        ImageVerb::Show(args) => show::show(context, args).await?,
        ImageVerb::Prune(args) => prune::prune(context, args).await?,
        ImageVerb::Remove(args) => remove::remove(context, args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
