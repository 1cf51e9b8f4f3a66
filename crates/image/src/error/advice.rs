//! What an error means to those who have to live with it: whose fault it is, its stable code, and
//! what can be done. The codes are explained in `docs/images.md`.

use super::ImageError;
use crate::unpack::UnpackFailure;

impl ImageError {
    /// The stable word for this kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            _ if self.is_disk_full() => "disk_full",
            Self::Unpack(failure) => code_of(failure),
            Self::NotAnImage { .. } | Self::BadDocument { .. } => "image_malformed",
            Self::TooLarge { .. } | Self::BlobTooLong { .. } => "image_too_large",
            Self::DigestDiffers { .. } => "image_digest_differs",
            Self::Unsupported { .. } => "image_unsupported",
            Self::NoVariant { .. } => "image_no_variant",
            Self::Ambiguous { .. } => "image_ambiguous",
            Self::BadName { .. } => "image_bad_name",
            Self::UnderWay { .. } => "image_under_way",
            Self::BlobTooShort { .. } | Self::BlobMissing { .. } => "image_incomplete",
            Self::Missing { .. } => "image_not_found",
            Self::Damaged { .. } => "image_damaged",
            Self::Io { .. } | Self::Helper { .. } | Self::Mkfs { .. } | Self::NoRoom { .. } => {
                "image_host_failed"
            }
        }
    }

    /// Whether the cause is a full disk.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => durable::is_disk_full(source),
            Self::Unpack(failure) => failure.is_disk_full(),
            Self::NoRoom { .. } => true,
            Self::Mkfs { stderr, .. } => stderr.contains("No space left"),
            _ => false,
        }
    }

    /// Whether the host failed and not the image: another try may succeed.
    #[must_use]
    pub fn is_host_fault(&self) -> bool {
        match self {
            Self::Unpack(failure) => failure.is_host_fault(),
            Self::Io { .. } | Self::Helper { .. } | Self::Mkfs { .. } | Self::NoRoom { .. } => true,
            _ => false,
        }
    }

    /// What the image's owner or the caller can do, when there is something special.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unsupported { hint, .. } => Some(hint),
            Self::Damaged { .. } => Some("pull or import the image again"),
            Self::NoRoom { .. } => Some("`dormouse image prune` frees room"),
            Self::Ambiguous { .. } => Some("name one of the tags"),
            _ => None,
        }
    }
}

fn code_of(failure: &UnpackFailure) -> &'static str {
    match failure {
        UnpackFailure::Truncated => "image_truncated",
        UnpackFailure::Malformed { .. } => "image_malformed",
        UnpackFailure::Unsupported { .. } => "image_unsupported",
        UnpackFailure::BadEntry { .. } => "image_bad_entry",
        UnpackFailure::TooLarge { .. } => "image_too_large",
        UnpackFailure::DigestDiffers { .. } => "image_digest_differs",
        UnpackFailure::Io { .. } if failure.is_host_fault() => "image_host_failed",
        UnpackFailure::Io { .. } => "image_bad_entry",
    }
}
