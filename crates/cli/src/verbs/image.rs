//! `dormouse image import|list|rm`.

use crate::context::Context;
use crate::failure::{Failure, NOT_FOUND};
use crate::output;
use api::contract::ImageInfo;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What to do with images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Make an image from a root file system tarball, an OCI layout or a `docker save` file
    Import {
        /// File or directory on the daemon's host
        path: PathBuf,
        /// Name of the image, e.g. `demo` or `demo:1`
        name: String,
    },
    /// List images
    #[command(visible_alias = "ls")]
    List,
    /// Remove an image that no machine needs
    Rm {
        /// Name or digest
        image: String,
    },
}

pub(super) async fn image(context: &Context, verb: &ImageVerb) -> anyhow::Result<ExitCode> {
    match verb {
        ImageVerb::Import { path, name } => {
            let path = std::path::absolute(path)?;
            let progress = spinner(&format!("importing {}", path.display()));
            let imported = context.client.import_image(&path.to_string_lossy(), name).await;
            progress.finish_and_clear();
            let imported = imported?;
            context.show(&imported, |image| {
                format!("{}  {}  {}", image.name, output::bytes(image.size_bytes), image.digest)
            })?;
        }
        ImageVerb::List => {
            let images = context.client.images().await?;
            context.show(&images, |images| {
                let row = |image: &ImageInfo| {
                    let size = output::bytes(image.size_bytes);
                    [image.name.clone(), size, image.created_at.clone(), image.digest.clone()]
                };
                let rows: Vec<_> = images.iter().map(row).collect();
                output::table(["NAME", "SIZE", "CREATED", "DIGEST"], &rows)
            })?;
        }
        ImageVerb::Rm { image } => {
            let digest = digest_of(context, image).await?;
            context.client.remove_image(&digest).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn digest_of(context: &Context, image: &str) -> anyhow::Result<String> {
    if image.starts_with("sha256:") {
        return Ok(image.to_owned());
    }
    let images = context.client.images().await?;
    let with_tag = format!("{image}:latest");
    let found = images.into_iter().find(|known| known.name == image || known.name == with_tag);
    let missing = || {
        Failure::new(format!("no image `{image}`"), "`dormouse image list` shows names and digests")
            .with_code(NOT_FOUND)
    };
    Ok(found.ok_or_else(missing)?.digest)
}

/// A sign of life on stderr; nothing when that is no terminal.
fn spinner(text: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(text.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
