//! Names of images that came from files.

use crate::error::ImageError;
use model::ids::Digest;
use model::spec::ImageRef;

/// Longest repository and tag, in bytes. Source: OCI distribution specification.
const REPOSITORY_MAX_BYTES: usize = 255;
const TAG_MAX_BYTES: usize = 128;

/// A checked `repository[:tag]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LocalName {
    repository: String,
    /// The tag, `latest` when none was given.
    pub(crate) tag: String,
}

impl LocalName {
    pub(crate) fn parse(name: &str) -> Result<Self, ImageError> {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        if is_repository(repository) && is_tag(tag) {
            Ok(Self { repository: repository.to_owned(), tag: tag.to_owned() })
        } else {
            Err(ImageError::BadName { name: name.chars().take(REPOSITORY_MAX_BYTES).collect() })
        }
    }

    /// The reference of this name for the image `digest`.
    pub(crate) fn to_ref(&self, digest: Digest) -> ImageRef {
        ImageRef {
            registry: "local".to_owned(),
            repository: self.repository.clone(),
            tag: self.tag.clone(),
            digest,
        }
    }
}

fn is_repository(text: &str) -> bool {
    let is_part = |part: &str| {
        part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
            && part.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
    };
    text.len() <= REPOSITORY_MAX_BYTES && text.split('/').all(is_part)
}

fn is_tag(text: &str) -> bool {
    (1..=TAG_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<(&str, &str)>) {
        let parsed = LocalName::parse(name).ok();
        let parsed = parsed.as_ref().map(|name| (name.repository.as_str(), name.tag.as_str()));
        assert_eq!(parsed, expected);
    }

    #[test]
    fn names_are_repository_and_tag() {
        check("debian", Some(("debian", "latest")));
        check("team/web-1:v1.2_x", Some(("team/web-1", "v1.2_x")));
        for wrong in ["", ":", "a:", ":b", "A", "a b", "a//b", "/a", "a/", "../a", "a:.x", "a@b"] {
            check(wrong, None);
        }
    }
}
