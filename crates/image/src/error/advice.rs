//! What an error means to those who have to live with it: whose fault it is, its stable code, and
//! what can be done. The codes are the API's, and explained in `docs/images.md`.

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
            Self::Unreadable { .. } => "image_unreadable",
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

    /// What the image's owner, the host's or the caller can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unsupported { hint, .. } => hint,
            _ => hint_of(self.code()),
        }
    }
}

fn hint_of(code: &str) -> &'static str {
    match code {
        "disk_full" => "`dormouse image prune` frees room",
        "disk_denied" => {
            "the daemon must be able to write below its data directory: look at its owner, at the \
             mount option `ro` and at security modules"
        }
        "disk_io" => "the disk below the data directory fails: the kernel's log says more",
        "image_unreadable" => {
            "name a file or directory that the daemon may read on its own host, or send an archive: \
             `dormouse image import - NAME < FILE`"
        }
        "image_malformed" | "image_truncated" => {
            "give a whole root file system tarball, OCI layout or `docker save` file; fetch or copy \
             it again if it should be one"
        }
        "image_digest_differs" => "fetch or copy it again, and do not use it as it is",
        "image_bad_entry" => "build the image again without what the message names",
        "image_too_large" => "make the image smaller; `docs/images.md` has the limits",
        "image_unsupported" => "give an image with files, packed with gzip, zstd or not at all",
        "image_no_variant" => "build the image for this host's platform",
        "image_ambiguous" => "name one of the tags",
        "image_bad_name" => "give a name like `demo` or `demo:1`",
        "image_under_way" => "wait for the pull that is under way",
        "image_incomplete" => "pull the image again: it goes on where it was",
        "image_not_found" => {
            "`dormouse image list` shows what this host has; `dormouse image pull` brings more"
        }
        "image_damaged" => "pull or import the image again, and look at the disk",
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
    use std::collections::BTreeSet;
    use std::io;
    use std::path::Path;

    #[track_caller]
    fn check(errno: i32, code: &str, hint: &str) {
        let source = io::Error::from_raw_os_error(errno);
        let own = ImageError::io("write", Path::new("/x"))(source);
        let told = own.hint();
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

    /// One error of each kind.
    fn samples() -> Vec<ImageError> {
        let digest = || format!("sha256:{}", "0".repeat(64)).parse().expect("a digest");
        let text = String::new;
        let io = |errno| io::Error::from_raw_os_error(errno);
        let unpack = [
            UnpackFailure::Truncated,
            UnpackFailure::Malformed { why: text() },
            UnpackFailure::Unsupported { what: text() },
            UnpackFailure::BadEntry { entry: text(), why: text() },
        ];
        let mut all: Vec<_> = unpack.into_iter().map(ImageError::Unpack).collect();
        all.extend(
            [libc::ENOSPC, libc::EROFS, libc::EIO, libc::EBUSY]
                .map(|errno| ImageError::io("write", Path::new("/x"))(io(errno))),
        );
        all.extend([
            ImageError::unreadable(Path::new("/x"))(io(libc::ENOENT)),
            ImageError::NotAnImage { why: text() },
            ImageError::TooLarge { what: "it", max: 1 },
            ImageError::DigestDiffers { what: text(), expected: digest(), actual: digest() },
            ImageError::Unsupported { what: text(), hint: "another" },
            ImageError::NoVariant { host: text(), offered: text() },
            ImageError::Ambiguous { offered: text() },
            ImageError::BadName { name: text() },
            ImageError::UnderWay { digest: digest() },
            ImageError::BlobMissing { digest: digest() },
            ImageError::Missing { digest: digest() },
            ImageError::Damaged { digest: digest(), why: text() },
        ]);
        all
    }

    fn page(name: &str) -> String {
        let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).expect("a page of the documentation")
    }

    /// The words in backquotes of a row's cell.
    fn words(cell: &str) -> impl Iterator<Item = &str> {
        cell.split('`').skip(1).step_by(2)
    }

    /// Codes that a page names: the words in the columns called `code`.
    fn codes_in(page: &str) -> BTreeSet<&str> {
        let mut column = None;
        let mut codes = BTreeSet::new();
        for line in page.lines() {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            column = match column {
                _ if cells.len() < 3 => None,
                None => cells.iter().position(|cell| *cell == "code"),
                known => known,
            };
            codes.extend(column.and_then(|idx| cells.get(idx)).into_iter().flat_map(|c| words(c)));
        }
        codes
    }

    #[test]
    fn codes_of_images_are_in_both_catalogues_and_nowhere_else() {
        let (images, errors) = (page("images.md"), page("errors.md"));
        let (of_images, of_errors) = (codes_in(&images), codes_in(&errors));
        let given: BTreeSet<_> = samples().iter().map(ImageError::code).collect();
        assert_eq!(of_images, given, "docs/images.md and the codes of errors");
        let missing: Vec<_> = of_images.difference(&of_errors).collect();
        assert!(missing.is_empty(), "not in docs/errors.md: {missing:?}");
        let unknown: Vec<_> = of_errors
            .iter()
            .filter(|code| code.starts_with("image_") && !given.contains(*code))
            .filter(|code| !CODES_ELSEWHERE.contains(code))
            .collect();
        assert!(unknown.is_empty(), "docs/errors.md names what nobody says: {unknown:?}");
    }

    /// Codes about images that are not errors of this crate.
    const CODES_ELSEWHERE: [&str; 4] =
        ["image_missing", "image_in_use", "image_denied", "image_change"];

    #[test]
    fn what_is_known_to_be_the_images_is_not_sent_to_the_doctor() {
        for error in samples() {
            let is_of_doctor = error.hint().contains("doctor");
            assert_eq!(is_of_doctor, error.code() == "image_host_failed", "{error}");
        }
    }
}
