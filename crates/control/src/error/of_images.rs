//! What is known of errors about images: those of files, and those of registries.

use super::{Advice, Fault};
use image::ImageError;
use registry::RegistryError;
use registry::manifest::BadManifest;

/// For whoever meets a registry that does not do its part.
const ASK_LATER: &str = "try again later; an image that is on this host can be named by its digest";

/// Codes and hints are the image's own; `docs/images.md` explains them.
pub(super) fn of_image(error: &ImageError) -> Advice<'static> {
    let (code, hint) = (error.code(), error.hint());
    match error {
        ImageError::Damaged { .. } => Advice::host(code, hint),
        ImageError::UnderWay { .. } => Advice::caller(code, hint).retryable(),
        error if error.is_host_fault() => Advice::host(code, hint).retryable(),
        _ => Advice::caller(code, hint),
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
        RegistryError::EgressDenied { .. } => "egress_denied",
        RegistryError::Resolve { .. }
        | RegistryError::Unreachable { .. }
        | RegistryError::Tls { .. }
        | RegistryError::Interrupted { .. }
        | RegistryError::Timeout { .. } => "registry_unreachable",
        RegistryError::RateLimited { .. } => "registry_rate_limited",
        RegistryError::TooLarge { .. } => "image_too_large",
        RegistryError::SizeDiffers { .. } | RegistryError::DigestDiffers { .. } => {
            "image_digest_differs"
        }
        RegistryError::Manifest { source, .. } => match source {
            BadManifest::TooMany { .. } => "image_too_large",
            BadManifest::Form(_) | BadManifest::Ambiguous(_) | BadManifest::Digest { .. } => {
                "image_malformed"
            }
            BadManifest::NoVariant { .. } => "image_no_variant",
            BadManifest::Schema1
            | BadManifest::MediaType { .. }
            | BadManifest::ForeignLayer { .. } => "image_unsupported",
        },
        RegistryError::DockerConfig(_) => "invalid_docker_config",
        RegistryError::Certificates { .. } => "invalid_certificates",
        _ => "registry_failed",
    }
}
