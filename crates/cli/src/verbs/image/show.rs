//! `dormouse image show`.

use crate::context::Context;
use crate::{images, output};
use api::contract::ImageDetail;
use api::contract::image::ImageLayer;
use clap::Args;

/// Which image.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Name, digest or beginning of a digest
    image: String,
}

pub(super) async fn show(context: &Context, args: &ShowArgs) -> anyhow::Result<()> {
    let digest = images::digest_of(&context.client, &args.image).await?;
    let detail = context.client.image(&digest).await?;
    context.show(&detail, |detail| {
        let mut text = output::pairs(&facts(detail));
        if !detail.layers.is_empty() {
            text.push_str("\n\n");
            text.push_str(&layers(&detail.layers));
        }
        text
    })
}

fn facts(detail: &ImageDetail) -> Vec<(&'static str, String)> {
    let (info, config) = (&detail.info, &detail.config);
    let is_private = if info.is_private { "yes" } else { "no" };
    let mut facts = vec![
        ("name", info.name.clone()),
        ("digest", info.digest.clone()),
        ("size", output::bytes(info.size_bytes)),
        ("shared", output::bytes(info.shared_bytes)),
        ("source", info.source.clone()),
        ("private", is_private.to_owned()),
        ("created", info.created_at.clone()),
        ("used", info.last_used_at.clone()),
        ("tags", detail.info.tags.join(" ")),
        ("machines", detail.machines.join(" ")),
        ("entrypoint", words(&config.entrypoint)),
        ("cmd", words(&config.cmd)),
        ("user", config.user.clone()),
        ("directory", config.working_dir.clone()),
    ];
    facts.extend(config.env.iter().map(|variable| ("env", variable.clone())));
    facts.extend(config.labels.iter().map(|(key, value)| ("label", format!("{key}={value}"))));
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

/// A list of words that shows where each ends.
fn words(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!("{words:?}") }
}

fn layers(layers: &[ImageLayer]) -> String {
    let row = |layer: &ImageLayer| [layer.digest.clone(), output::bytes(layer.size_bytes)];
    output::table(["LAYER", "SIZE"], &layers.iter().map(row).collect::<Vec<_>>())
}
