//! Media types: what a descriptor says that its blob is.
//!
//! Source: OCI image specification 1.1, "OCI Image Media Types"; Docker's "Image Manifest Version 2,
//! Schema 2". How a layer is compressed is told by its own first bytes, as other tools do it, so
//! the suffixes here decide nothing.

use crate::error::ImageError;

/// Next step for layers that only their makers may hand out.
const FOREIGN_HINT: &str = "push the image again with all of its layers \
    (`docker push` with `allow-nondistributable-artifacts`, or `skopeo copy` from the original)";

/// Next step for images of 2016 and before.
const SCHEMA1_HINT: &str = "push the image again with a current tool; \
    `skopeo copy --format v2s2` converts it";

/// Next step for charts, signatures, attestations and the like.
const ARTIFACT_HINT: &str = "it holds no file system; name an image instead";

/// What a media type speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaKind {
    Index,
    Manifest,
    Schema1,
    Config,
    Layer,
    ForeignLayer,
    /// None of these, or not said.
    Other,
}

/// The kind of a media type; parameters behind a semicolon are ignored.
pub(super) fn kind_of(media_type: &str) -> MediaKind {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    match essence {
        "application/vnd.oci.image.index.v1+json"
        | "application/vnd.docker.distribution.manifest.list.v2+json" => MediaKind::Index,
        "application/vnd.oci.image.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v2+json" => MediaKind::Manifest,
        "application/vnd.docker.distribution.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v1+prettyjws" => MediaKind::Schema1,
        "application/vnd.oci.image.config.v1+json"
        | "application/vnd.docker.container.image.v1+json" => MediaKind::Config,
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => MediaKind::Layer,
        other if other.starts_with("application/vnd.oci.image.layer.nondistributable.") => {
            MediaKind::ForeignLayer
        }
        other if other.starts_with("application/vnd.docker.image.rootfs.foreign.") => {
            MediaKind::ForeignLayer
        }
        _ => MediaKind::Other,
    }
}

/// Refuses a config that is not an image's.
pub(super) fn expect_config(media_type: &str) -> Result<(), ImageError> {
    match kind_of(media_type) {
        MediaKind::Config => Ok(()),
        _ => Err(unsupported("an artifact with a config of type", media_type, ARTIFACT_HINT)),
    }
}

/// Refuses a layer that is no archive, or that registries do not hold.
pub(super) fn expect_layer(media_type: &str) -> Result<(), ImageError> {
    match kind_of(media_type) {
        MediaKind::Layer => Ok(()),
        MediaKind::ForeignLayer => {
            Err(unsupported("a foreign layer of type", media_type, FOREIGN_HINT))
        }
        _ => Err(unsupported("a layer of type", media_type, ARTIFACT_HINT)),
    }
}

/// The refusal of a manifest of the first version.
pub(super) fn schema1() -> ImageError {
    let what = "a manifest of schema version 1".to_owned();
    ImageError::Unsupported { what, hint: SCHEMA1_HINT }
}

/// Longest media type in a message, in characters.
const SHOWN_MAX_CHARS: usize = 100;

fn unsupported(words: &str, media_type: &str, hint: &'static str) -> ImageError {
    let shown: String =
        media_type.chars().take(SHOWN_MAX_CHARS).flat_map(char::escape_debug).collect();
    ImageError::Unsupported { what: format!("{words} `{shown}`"), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_docker_and_oci_mean_the_same() {
        let check = |text: &str, expected| assert_eq!(kind_of(text), expected, "{text}");
        check("application/vnd.oci.image.index.v1+json", MediaKind::Index);
        check("application/vnd.oci.image.manifest.v1+json; charset=utf-8", MediaKind::Manifest);
        check("application/vnd.docker.image.rootfs.diff.tar.gzip", MediaKind::Layer);
        check("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MediaKind::ForeignLayer);
        let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
        check(foreign, MediaKind::ForeignLayer);
        check("application/json", MediaKind::Other);
        check("", MediaKind::Other);
    }
}
