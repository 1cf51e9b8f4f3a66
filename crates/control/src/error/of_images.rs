//! What is known of errors about images: those of files, and those of registries.

use super::{Advice, Fault};
use image::ImageError;
use registry::RegistryError;
use registry::manifest::BadManifest;

/// For whoever brings an image that cannot be used.
const GIVE_AN_IMAGE: &str = "give a whole root file system tarball, OCI layout or `docker save` \
                             file, and a name like `demo:1`";

/// For whoever meets trouble of this host that has no better remedy.
const ASK_DOCTOR: &str = "`dormouse doctor` checks the host";

/// For whoever meets a registry that does not do its part.
const ASK_LATER: &str = "try again later; an image that is on this host can be named by its digest";

pub(super) fn of_image(error: &ImageError) -> Advice<'static> {
    match error {
        ImageError::Missing { .. } => Advice::caller(
            "image_not_found",
            "`dormouse image list` shows what this host has; `dormouse image pull` brings more",
        ),
        ImageError::Damaged { .. } => {
            Advice::host("image_damaged", "pull or import the image again")
        }
        ImageError::Unsupported { hint, .. } => Advice::caller("image_unsupported", hint),
        ImageError::NoVariant { .. } => {
            Advice::caller("image_unsupported", "build the image for this host's platform")
        }
        ImageError::TooLarge { .. } | ImageError::BlobTooLong { .. } => {
            Advice::caller("image_too_large", "make the image smaller; `docs/images.md` has limits")
        }
        error if error.is_host_fault() => {
            Advice::host(error.code(), error.hint().unwrap_or(ASK_DOCTOR)).retryable()
        }
        _ => Advice::caller("invalid_image", GIVE_AN_IMAGE),
    }
}

pub(super) fn of_registry(error: &RegistryError) -> Advice<'static> {
    Advice {
        code: code_of(error),
        fault: match error.fault() {
            registry::Fault::Caller => Fault::Caller,
            registry::Fault::Host => Fault::Host,
            registry::Fault::Upstream => Fault::Upstream,
        },
        is_retryable: error.is_retryable(),
        hint: error.hint().unwrap_or(ASK_LATER),
    }
}

fn code_of(error: &RegistryError) -> &'static str {
    match error {
        RegistryError::Reference(_) => "invalid_image",
        RegistryError::NotFound { .. } => "image_not_found",
        RegistryError::Unauthorized { .. } | RegistryError::Denied { .. } => "image_denied",
        RegistryError::NotAllowed { .. } | RegistryError::AddressRefused { .. } => {
            "registry_not_allowed"
        }
        RegistryError::Resolve { .. }
        | RegistryError::Unreachable { .. }
        | RegistryError::Tls { .. }
        | RegistryError::Interrupted { .. }
        | RegistryError::Timeout { .. } => "registry_unreachable",
        RegistryError::RateLimited { .. } => "registry_rate_limited",
        RegistryError::TooLarge { .. } => "image_too_large",
        RegistryError::SizeDiffers { .. } | RegistryError::DigestDiffers { .. } => "image_damaged",
        RegistryError::Manifest { source, .. } => match source {
            BadManifest::TooMany { .. } => "image_too_large",
            BadManifest::Form(_) | BadManifest::Ambiguous(_) => "invalid_image",
            _ => "image_unsupported",
        },
        RegistryError::DockerConfig(_) => "invalid_docker_config",
        RegistryError::Certificates { .. } => "invalid_certificates",
        _ => "registry_failed",
    }
}
