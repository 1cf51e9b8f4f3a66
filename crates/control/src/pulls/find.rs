//! What a reference names, and whether this caller may have it.
//!
//! A name that was given to an import, and a digest of what is here, are asked of nobody. A tag is
//! asked again each time if its registry answers soon; else what is here counts, and the answer says
//! so. An image that its registry gives only to those who show credentials is given here only to
//! the owner, to apps that were given it before, and to whoever passes its registry's check now.

use super::job::{RESOLVE_MAX, Target};
use crate::blocking::off_runtime;
use crate::error::ControlError;
use crate::facade::{ImageAccess, ImageCaller};
use crate::inner::Inner;
use image::ImageError;
use model::Digest;
use model::spec::ImageRef;
use registry::{Credentials, Platform, Reference, RegistryError, Repository, Resolved};
use std::sync::Arc;
use std::time::Duration;
use store::{ImageRecord, StoreError, TagRecord, Tx};

/// The registry of images that came from files.
pub(crate) const LOCAL: &str = "local";

/// How long a registry may take to say whether a tag has moved. Source: design, section 4, "Images".
const RECHECK_MAX: Duration = Duration::from_secs(1);

/// Where the image of a reference is.
#[derive(Debug)]
pub(crate) enum Found {
    /// On this host.
    Here {
        /// The image.
        record: ImageRecord,
        /// Why its registry was not asked, or what came of it.
        cached_because: Option<String>,
    },
    /// In its registry, which gives it to this caller.
    Away(Target),
}

/// Finds out what `text` names, and that this caller may have it.
pub(crate) async fn find(
    inner: &Arc<Inner>,
    text: &str,
    access: &ImageAccess,
) -> Result<Found, ControlError> {
    if let Some(record) = local(inner, text, &access.caller)? {
        return Ok(Found::Here { record, cached_because: None });
    }
    let reference: Reference = text.parse().map_err(RegistryError::from)?;
    let finder = Finder { inner, reference: &reference, access };
    let found = match reference.digest() {
        Some(digest) => finder.by_digest(digest).await?,
        None => finder.by_tag().await?,
    };
    Ok(found.under(|digest| reference.image_ref(digest)))
}

impl Found {
    /// The same under the name that was asked for: an image may have several.
    fn under(self, name: impl FnOnce(Digest) -> ImageRef) -> Self {
        match self {
            Self::Here { record, cached_because } => {
                let image = name(record.image.digest.clone());
                Self::Here { record: ImageRecord { image, ..record }, cached_because }
            }
            Self::Away(target) => Self::Away(target),
        }
    }
}

/// The image with this digest, if it is here and whole so far as a look shows.
pub(super) async fn here(
    inner: &Arc<Inner>,
    digest: &Digest,
) -> Result<Option<ImageRecord>, ControlError> {
    let Some(record) = inner.store.read(|reader| reader.image(digest))? else { return Ok(None) };
    let (inner, digest) = (Arc::clone(inner), digest.clone());
    off_runtime(move || match inner.images.meta(&digest) {
        Ok(_) => Ok(Some(record)),
        Err(ImageError::Missing { .. } | ImageError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    })
    .await
}

/// What a reference has led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// The image under the name that was asked for.
    pub(super) image: ImageRef,
    /// Where its tag points, if it was found by that.
    pub(super) points_to: Option<Digest>,
    /// Who asked.
    pub(super) caller: ImageCaller,
}

impl Use {
    /// Records where the tag points, and that the caller's app has been given an image that is not
    /// for everybody.
    pub(super) fn note(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        if let Some(points_to) = &self.points_to {
            tx.put_tag(&self.image, points_to)?;
        }
        let digest = &self.image.digest;
        let is_private = tx.image(digest)?.is_some_and(|record| record.is_private);
        match &self.caller {
            ImageCaller::Tenant { app } if is_private => tx.grant_image(digest, app),
            ImageCaller::Tenant { .. } | ImageCaller::Owner => Ok(()),
        }
    }
}

/// The image that a plain digest, or the name of an import, names.
fn local(
    inner: &Inner,
    text: &str,
    caller: &ImageCaller,
) -> Result<Option<ImageRecord>, ControlError> {
    if let Ok(digest) = text.parse::<Digest>() {
        let record = inner.store.read(|reader| reader.image(&digest))?;
        // A digest alone says no place where a right to it could be checked.
        return match record {
            Some(record) if is_entitled(inner, &record, caller)? => Ok(Some(record)),
            _ => Err(ControlError::NotFound { what: "image" }),
        };
    }
    let (repository, tag) = split_tag(text);
    let found = inner.store.read(|reader| match reader.tag(LOCAL, repository, tag)? {
        Some(tag) => reader.image(&tag.digest),
        None => Ok(None),
    })?;
    let name = |digest| ImageRef {
        registry: LOCAL.to_owned(),
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest,
    };
    Ok(found.map(|record| ImageRecord { image: name(record.image.digest.clone()), ..record }))
}

/// Whether the caller may use the image without asking its registry.
fn is_entitled(
    inner: &Inner,
    record: &ImageRecord,
    caller: &ImageCaller,
) -> Result<bool, ControlError> {
    match caller {
        ImageCaller::Tenant { app } if record.is_private => {
            Ok(inner.store.read(|reader| reader.is_granted(&record.image.digest, app))?)
        }
        ImageCaller::Tenant { .. } | ImageCaller::Owner => Ok(true),
    }
}

/// One question about one reference to a registry.
struct Finder<'a> {
    inner: &'a Arc<Inner>,
    reference: &'a Reference,
    access: &'a ImageAccess,
}

impl Finder<'_> {
    async fn by_digest(&self, digest: &Digest) -> Result<Found, ControlError> {
        if let Some(record) = here(self.inner, digest).await?
            && is_entitled(self.inner, &record, &self.access.caller)?
        {
            let cached_because = Some("the reference names its content".to_owned());
            return Ok(Found::Here { record, cached_because });
        }
        self.resolve().await
    }

    async fn by_tag(&self) -> Result<Found, ControlError> {
        let Some((tag, record)) = self.cached().await? else { return self.resolve().await };
        if !is_entitled(self.inner, &record, &self.access.caller)? {
            return self.resolve().await;
        }
        let cached = |because: String| {
            Ok(Found::Here { record: record.clone(), cached_because: Some(because) })
        };
        let seen = match self.repository() {
            Ok((repository, _)) => tokio::time::timeout(RECHECK_MAX, repository.head()).await,
            Err(error @ ControlError::NoWayOut { .. }) => return cached(words(&error)),
            Err(error) => return Err(error),
        };
        match seen {
            Ok(Ok(digest)) if digest == tag.points_to => {
                Ok(Found::Here { record, cached_because: None })
            }
            Ok(Ok(_moved)) => match self.resolve().await {
                Err(error) if error.is_retryable() => cached(words(&error)),
                resolved => resolved,
            },
            Ok(Err(error @ RegistryError::NotFound { .. })) => Err(error.into()),
            Ok(Err(error)) => cached(words(&error)),
            Err(_elapsed) => {
                let seconds = RECHECK_MAX.as_secs();
                cached(format!("`{}` did not answer within {seconds} s", self.registry()))
            }
        }
    }

    /// What this host has under the reference's tag.
    async fn cached(&self) -> Result<Option<(TagRecord, ImageRecord)>, ControlError> {
        let tag = self.inner.store.read(|reader| {
            let tag = self.reference.tag().unwrap_or_default();
            reader.tag(self.registry(), self.reference.repository(), tag)
        })?;
        let Some(tag) = tag else { return Ok(None) };
        let record = here(self.inner, &tag.digest).await?;
        Ok(record.map(|record| (tag, record)))
    }

    /// Asks the registry what the image is. Whoever gets an answer may have the image.
    async fn resolve(&self) -> Result<Found, ControlError> {
        let asked = tokio::time::timeout(RESOLVE_MAX, self.ask_registry()).await;
        asked.map_err(|_elapsed| RegistryError::Timeout {
            host: self.registry().to_owned(),
            doing: "say what the image is",
            after: RESOLVE_MAX,
        })?
    }

    async fn ask_registry(&self) -> Result<Found, ControlError> {
        let (repository, access) = self.repository()?;
        let resolved = repository.resolve(&Platform::host()).await?;
        match here(self.inner, &resolved.manifest_digest).await? {
            Some(record) if !record.is_private || self.is_place_of(&record) => {
                self.note(record, &resolved, &access).await
            }
            _ => {
                let target = Target::new(self.reference, resolved, access);
                Ok(Found::Away(target.with_config(&self.inner.pulls, &repository).await?))
            }
        }
    }

    /// Whether an answer about this reference is one about the image: a manifest can be put into
    /// another repository by whoever has seen it, the content behind it cannot.
    fn is_place_of(&self, record: &ImageRecord) -> bool {
        let image = &record.image;
        image.registry == self.registry() && image.repository == self.reference.repository()
    }

    async fn note(
        &self,
        record: ImageRecord,
        resolved: &Resolved,
        access: &ImageAccess,
    ) -> Result<Found, ControlError> {
        let points_to = self.reference.digest().is_none().then(|| resolved.tag_digest.clone());
        let (image, caller) = (resolved.image_ref.clone(), access.caller.clone());
        let found = Use { image, points_to, caller };
        // Whoever shows nothing and gets an answer is anybody.
        let is_public = access.credentials == Credentials::Anonymous;
        let noted = self.inner.store.write("image.use", move |tx| {
            if is_public {
                tx.publish_image(&found.image.digest)?;
            }
            found.note(tx)
        });
        noted.await?;
        Ok(Found::Here { record, cached_because: None })
    }

    /// The repository, and what is shown to it.
    fn repository(&self) -> Result<(Repository, ImageAccess), ControlError> {
        let registries = &self.inner.pulls.registries;
        let access = registries.with_credentials(self.reference, self.access)?;
        Ok((registries.repository(self.reference, &access)?, access))
    }

    fn registry(&self) -> &str {
        self.reference.registry().served_by()
    }
}

/// An error with its causes, as one sentence.
fn words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Repository and tag of the name of an import; `latest` when it names none.
fn split_tag(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_splits_at_its_tag_not_at_a_port() {
        assert_eq!(split_tag("debian:12"), ("debian", "12"));
        assert_eq!(split_tag("debian"), ("debian", "latest"));
        assert_eq!(split_tag("localhost:5000/debian"), ("localhost:5000/debian", "latest"));
    }
}
