//! `dormouse image list`.

use crate::context::Context;
use crate::{images, output};
use api::contract::ImageInfo;

pub(super) async fn list(context: &Context) -> anyhow::Result<()> {
    let images = context.client.images().await?;
    context.show(&images, |images| table(images))
}

/// Images, one line for each name, as with Docker.
pub(super) fn table(images: &[ImageInfo]) -> String {
    let row = |image: &ImageInfo, name: &str| {
        [
            name.to_owned(),
            images::short(&image.digest),
            output::bytes(image.size_bytes),
            output::bytes(image.shared_bytes),
            image.last_used_at.clone(),
            image.machine_count.to_string(),
        ]
    };
    let named = images.iter().flat_map(|image| names(image).map(move |name| row(image, name)));
    let rows: Vec<_> = named.collect();
    output::table(["NAME", "DIGEST", "SIZE", "SHARED", "USED", "MACHINES"], &rows)
}

/// The name that an image came by, and those that it got later.
fn names(image: &ImageInfo) -> impl Iterator<Item = &str> {
    let is_other = |tag: &&str| tag.strip_prefix("local/").unwrap_or(tag) != image.name;
    let others = image.tags.iter().map(String::as_str).filter(is_other);
    std::iter::once(image.name.as_str()).chain(others)
}
