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
            Self::Unpack(failure) if failure.is_host_fault() => self.code_of_host(),
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
                self.code_of_host()
            }
        }
    }

    /// What this host is to blame for, by what its owner can do about it.
    fn code_of_host(&self) -> &'static str {
        match self.errno() {
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => "disk_denied",
            Some(libc::EIO | libc::ENXIO | libc::ENODEV | libc::EUCLEAN) => "disk_io",
            _ => "image_host_failed",
        }
    }

    /// The kernel's word, if it was the kernel that refused.
    fn errno(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            Self::Unpack(UnpackFailure::Io { errno, .. }) => Some(*errno),
            _ => None,
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

    /// What the image's owner, the host's or the caller can do, when there is something special.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            _ if self.is_host_fault() => Some(hint_of_host(self.code())),
            Self::Unsupported { hint, .. } => Some(hint),
            Self::Damaged { .. } => Some("pull or import the image again"),
            Self::Ambiguous { .. } => Some("name one of the tags"),
            _ => None,
        }
    }
}

fn hint_of_host(code: &str) -> &'static str {
    match code {
        "disk_full" => "`dormouse image prune` frees room",
        "disk_denied" => {
            "the daemon must be able to write below its data directory: look at its owner, at the \
             mount option `ro` and at security modules"
        }
        "disk_io" => "the disk below the data directory fails: the kernel's log says more",
        _ => "`dormouse doctor` checks the tools it needs; the daemon's log says more",
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
        UnpackFailure::Io { .. } => "image_bad_entry",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::path::Path;

    #[track_caller]
    fn check(errno: i32, code: &str, hint: &str) {
        let source = io::Error::from_raw_os_error(errno);
        let own = ImageError::io("write", Path::new("/x"))(source);
        let told = own.hint().expect("a host's trouble has a hint");
        assert_eq!(own.code(), code, "{errno}");
        assert!(told.contains(hint), "{errno}: {told}");
    }

    #[test]
    fn trouble_of_the_host_has_a_code_for_each_remedy() {
        check(libc::ENOSPC, "disk_full", "prune");
        check(libc::EDQUOT, "disk_full", "prune");
        check(libc::EACCES, "disk_denied", "owner");
        check(libc::EPERM, "disk_denied", "owner");
        check(libc::EROFS, "disk_denied", "`ro`");
        check(libc::EIO, "disk_io", "kernel's log");
        check(libc::EUCLEAN, "disk_io", "kernel's log");
        check(libc::EBUSY, "image_host_failed", "doctor");
    }

    #[test]
    fn the_unpacking_process_passes_the_trouble_on() {
        let failed = |errno| {
            let (action, entry) = ("write".to_owned(), "a".to_owned());
            ImageError::Unpack(UnpackFailure::Io { action, entry, errno })
        };
        assert_eq!(failed(libc::EIO).code(), "disk_io");
        assert_eq!(failed(libc::EROFS).code(), "disk_denied");
        assert_eq!(failed(libc::ENOMEM).code(), "image_host_failed");
        // What an entry is to blame for is the image's.
        assert_eq!(failed(libc::ENOTDIR).code(), "image_bad_entry");
        assert_eq!(failed(libc::EPERM).code(), "image_bad_entry");
    }
}
