//! References to images, as users write them: `alpine`, `registry.example.com:5000/team/web:1.2`,
//! `alpine@sha256:…`.
//!
//! Short names mean what they mean to Docker: no registry is Docker Hub, a single word there is an
//! official image, no tag and no digest is `latest`. With both a tag and a digest the digest counts
//! and the tag is only shown.
//!
//! Source: `distribution/reference`, the grammar in its package documentation.

mod name;

pub use name::{InvalidRegistryName, RegistryName};
pub(crate) use name::{is_host, is_loopback};

use model::ids::Digest;
use model::spec::ImageRef;
use std::fmt;
use std::str::FromStr;

/// Longest reference, in bytes: a host name, a repository, a tag and a digest, each at its longest.
const REFERENCE_MAX_BYTES: usize = 255 + 1 + REPOSITORY_MAX_BYTES + 1 + TAG_MAX_BYTES + 1 + 71;
/// Longest repository, in bytes. Source: `distribution/reference`, `NameTotalLengthMax`.
const REPOSITORY_MAX_BYTES: usize = 255;
/// Longest tag, in bytes. Source: OCI distribution specification, "Pulling manifests".
const TAG_MAX_BYTES: usize = 128;
/// Tag of a reference that names neither tag nor digest.
const DEFAULT_TAG: &str = "latest";
/// Where Docker Hub keeps official images.
const OFFICIAL: &str = "library/";

/// A parsed reference to an image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    registry: RegistryName,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {why}")]
pub struct InvalidReference {
    /// The text, cut at a bound.
    pub text: String,
    /// What is wrong with it.
    pub why: WhyInvalid,
}

/// What is wrong with a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyInvalid {
    /// Nothing is left to name an image.
    #[error("it is empty")]
    Empty,
    /// Longer than any reference can be.
    #[error("it is longer than {REFERENCE_MAX_BYTES} bytes")]
    TooLong,
    /// A URL.
    #[error("it is a URL")]
    Url,
    /// The part before the first `/` is no host with an optional port.
    #[error("its registry is not `host[:port]`")]
    Registry,
    /// An upper-case letter in the repository.
    #[error("its repository has upper-case letters")]
    UpperCase,
    /// A repository that the grammar refuses.
    #[error("its repository is not lower-case words joined by `.`, `_`, `-` and `/`")]
    Repository,
    /// 64 hex digits: an image id, which no registry knows.
    #[error("64 hex digits are the id of an image, not its name")]
    ImageId,
    /// A tag that the grammar refuses.
    #[error("its tag is not 1 to 128 letters, digits, `_`, `.` and `-`")]
    Tag,
    /// A digest of an algorithm that this client does not verify.
    #[error("its digest is not a SHA-256")]
    DigestAlgorithm,
    /// `sha256:` without 64 lower-case hex digits.
    #[error("its digest is not `sha256:` and 64 lower-case hex digits")]
    Digest,
}

impl WhyInvalid {
    /// What to do about it, if anything more can be said.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Url => "leave out `https://`: `registry.example.com/team/web:1.2`",
            Self::UpperCase => "write the repository in lower case",
            Self::ImageId => "an image is named by its digest as `repository@sha256:…`",
            Self::DigestAlgorithm | Self::Digest => {
                "a digest is `sha256:` and 64 lower-case hex digits; other algorithms are not \
                 supported"
            }
            Self::Empty | Self::TooLong | Self::Registry | Self::Repository | Self::Tag => {
                "a reference is `[registry[:port]/]repository[:tag][@sha256:…]`, such as \
                 `debian:12`"
            }
        }
    }
}

impl Reference {
    /// Registry, in the form users write.
    #[must_use]
    pub fn registry(&self) -> &RegistryName {
        &self.registry
    }

    /// Repository, with `library/` for official images.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Tag; none when only a digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Digest, if one was given.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same image by its digest: to ask whether somebody may see what is already here.
    #[must_use]
    pub fn pinned_to(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// What to ask the registry for: the digest before the tag.
    pub(crate) fn manifest_name(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag,
            (None, None) => DEFAULT_TAG,
        }
    }

    /// The model's reference for the image with this manifest.
    ///
    /// `registry` is the host that serves it, which for Docker Hub is not the name users write;
    /// `tag` is empty when only a digest was given. Source: machines-api 3.1, `image_ref`.
    #[must_use]
    pub fn image_ref(&self, digest: Digest) -> ImageRef {
        ImageRef {
            registry: self.registry.served_by().to_owned(),
            repository: self.repository.clone(),
            tag: self.tag.clone().unwrap_or_default(),
            digest,
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse(text).map_err(|why| InvalidReference { text: cut(text), why })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Reference, WhyInvalid> {
    if text.len() > REFERENCE_MAX_BYTES {
        return Err(WhyInvalid::TooLong);
    }
    if text.contains("://") {
        return Err(WhyInvalid::Url);
    }
    let (text, digest) = split_digest(text)?;
    let (registry, text) = split_registry(text)?;
    let (repository, tag) = split_tag(text)?;
    if digest.is_none() && registry.is_none() && is_image_id(repository) {
        return Err(WhyInvalid::ImageId);
    }
    let registry = registry.unwrap_or_else(RegistryName::docker_hub);
    let is_official = registry.is_docker_hub() && !repository.contains('/');
    let repository =
        if is_official { format!("{OFFICIAL}{repository}") } else { repository.into() };
    check_repository(&repository)?;
    let tag = match (tag, &digest) {
        (None, None) => Some(DEFAULT_TAG),
        (tag, _) => tag,
    };
    Ok(Reference { registry, repository, tag: tag.map(str::to_owned), digest })
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), WhyInvalid> {
    let Some((rest, digest)) = text.split_once('@') else { return Ok((text, None)) };
    match digest.parse() {
        Ok(digest) => Ok((rest, Some(digest))),
        Err(_) if digest.starts_with("sha256:") => Err(WhyInvalid::Digest),
        Err(_) => Err(WhyInvalid::DigestAlgorithm),
    }
}

/// The first part is a registry when it has a dot or a colon, or is `localhost`.
fn split_registry(text: &str) -> Result<(Option<RegistryName>, &str), WhyInvalid> {
    let Some((first, rest)) = text.split_once('/') else { return Ok((None, text)) };
    if !first.contains(['.', ':']) && first != "localhost" {
        return Ok((None, text));
    }
    let name = first.parse().map_err(|InvalidRegistryName| WhyInvalid::Registry)?;
    Ok((Some(name), rest))
}

fn split_tag(text: &str) -> Result<(&str, Option<&str>), WhyInvalid> {
    match text.rsplit_once(':') {
        None => Ok((text, None)),
        Some((repository, tag)) if is_tag(tag) => Ok((repository, Some(tag))),
        Some(_) => Err(WhyInvalid::Tag),
    }
}

fn is_tag(text: &str) -> bool {
    (1..=TAG_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && !text.starts_with(['.', '-'])
}

fn is_image_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn check_repository(text: &str) -> Result<(), WhyInvalid> {
    if text.is_empty() || text == OFFICIAL {
        return Err(WhyInvalid::Empty);
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(WhyInvalid::UpperCase);
    }
    if text.len() <= REPOSITORY_MAX_BYTES && text.split('/').all(is_component) {
        Ok(())
    } else {
        Err(WhyInvalid::Repository)
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
pub(crate) fn is_component(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    is_word(*first)
        && is_word(*last)
        && bytes
            .split(|b| is_word(*b))
            .all(|gap| matches!(gap, b"" | b"." | b"_" | b"__") || gap.iter().all(|b| *b == b'-'))
}

/// At most so much of a wrong reference is shown.
fn cut(text: &str) -> String {
    text.chars().take(REPOSITORY_MAX_BYTES).collect()
}

#[cfg(test)]
mod tests;
