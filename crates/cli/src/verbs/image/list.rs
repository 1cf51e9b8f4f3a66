//! `dormouse image list`.

use crate::context::Context;
use crate::{images, output};
use api::contract::ImageInfo;

pub(super) async fn list(context: &Context) -> anyhow::Result<()> {
    let images = context.client.images().await?;
    context.show(&images, |images| table(images))
}

/// Images, one a line.
pub(super) fn table(images: &[ImageInfo]) -> String {
    let row = |image: &ImageInfo| {
        [
            image.name.clone(),
            images::short(&image.digest),
            output::bytes(image.size_bytes),
            output::bytes(image.shared_bytes),
            image.last_used_at.clone(),
            image.machine_count.to_string(),
        ]
    };
    let rows: Vec<_> = images.iter().map(row).collect();
    output::table(["NAME", "DIGEST", "SIZE", "SHARED", "USED", "MACHINES"], &rows)
}
