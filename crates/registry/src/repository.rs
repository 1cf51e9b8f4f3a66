//! One image in one registry, as one caller may see it.

use crate::authorizer::Authorizer;
use crate::blob::{BlobStream, Verifier};
use crate::challenge;
use crate::connector::speaks_no_tls;
use crate::error::RegistryError;
use crate::http::{Answer, Ask, Http, Refused};
use crate::manifest::{
    self, ACCEPT, BadManifest, DOCUMENT_MAX_BYTES, Descriptor, Document, ImageManifest, Layer,
};
use crate::platform::Platform;
use crate::reference::Reference;
use crate::retry::{Backoff, chance};
use bytes::Bytes;
use hyper::header::{self, HeaderName};
use hyper::{Method, StatusCode, Uri};
use model::ids::{Digest, hex_of};
use model::spec::ImageRef;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Indexes that point to indexes, as for imported images.
const INDEX_DEPTH_MAX: usize = 4;
/// What the registry believes the digest of its answer to be.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// An image in a registry. Clones share what has been learnt about the registry; keep one for each
/// pull.
#[derive(Clone, Debug)]
pub struct Repository {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: Arc<Http>,
    authorizer: Authorizer,
    reference: Reference,
    /// `https://host[:port]`, or `http` where that is permitted and all there is.
    base: OnceCell<String>,
}

/// An image whose documents have been read and verified, but for its config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What the store keeps as its name; its digest is that of [`Resolved::manifest`].
    pub image_ref: ImageRef,
    /// What the tag leads to: the manifest, or the index that it was chosen from. To be compared
    /// with [`Repository::head`].
    pub tag_digest: Digest,
    /// Digest of the manifest.
    pub manifest_digest: Digest,
    /// The manifest.
    pub manifest: Bytes,
    /// The image's config.
    pub config: Descriptor,
    /// The image's layers, lowest first.
    pub layers: Vec<Layer>,
}

impl Resolved {
    /// Bytes to be downloaded for config and layers together, if nothing is there yet.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        let layers = self.layers.iter().map(|layer| layer.blob.size);
        layers.fold(self.config.size, u64::saturating_add)
    }
}

/// A verified document.
struct Fetched {
    digest: Digest,
    bytes: Bytes,
    document: Document,
}

/// What is asked of a registry, below `/v2/<repository>/`.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// `manifests/latest`, `blobs/sha256:…`.
    pub(crate) path: String,
    pub(crate) accept: Option<&'static str>,
    pub(crate) from_byte: u64,
    /// For the error when there is none.
    pub(crate) what: String,
}

impl Repository {
    pub(crate) fn new(http: Arc<Http>, authorizer: Authorizer, reference: Reference) -> Self {
        let inner = Inner { http, authorizer, reference, base: OnceCell::new() };
        Self { inner: Arc::new(inner) }
    }

    /// What is pulled.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.inner.reference
    }

    /// Finds out what the image consists of on `platform`; its blobs come later.
    ///
    /// # Errors
    /// Any [`RegistryError`]; what a retry may help has been tried several times.
    pub async fn resolve(&self, platform: &Platform) -> Result<Resolved, RegistryError> {
        let reference = &self.inner.reference;
        let name = reference.manifest_name();
        let mut fetched = self.document(name, reference.digest(), None).await?;
        let tag_digest = fetched.digest.clone();
        for _ in 0..=INDEX_DEPTH_MAX {
            let entries = match fetched.document {
                Document::Image(image) => {
                    return self.resolved(tag_digest, fetched.digest, fetched.bytes, image);
                }
                Document::Index(entries) => entries,
            };
            let entry = manifest::choose(&entries, platform).map_err(|bad| self.bad(bad))?;
            let digest = &entry.blob.digest;
            fetched = self.document(digest.as_str(), Some(digest), Some(entry.blob.size)).await?;
        }
        Err(self.bad(BadManifest::TooMany { what: "indexes in indexes", max: INDEX_DEPTH_MAX }))
    }

    /// What the tag leads to now: one small request, not repeated when it fails. Tells, too, whether
    /// these credentials may see the image.
    ///
    /// # Errors
    /// Any [`RegistryError`].
    pub async fn head(&self) -> Result<Digest, RegistryError> {
        let name = self.inner.reference.manifest_name();
        let answer = self.ask_once(&self.manifest_question(Method::HEAD, name)).await?;
        match answer.text(CONTENT_DIGEST).and_then(|digest| digest.parse().ok()) {
            Some(digest) => Ok(digest),
            None => Ok(self.document_once(name, None, None).await?.digest),
        }
    }

    /// The bytes of a blob that `have` lacks, verified together with those it has.
    #[must_use]
    pub fn blob(&self, have: Verifier) -> BlobStream {
        BlobStream::new(self.clone(), have)
    }

    /// The whole of a small blob, such as a config, verified.
    ///
    /// # Errors
    /// Any [`RegistryError`]; [`RegistryError::TooLarge`] above [`DOCUMENT_MAX_BYTES`].
    pub async fn small_blob(&self, blob: &Descriptor) -> Result<Bytes, RegistryError> {
        if blob.size > DOCUMENT_MAX_BYTES {
            let what = format!("blob {}", blob.digest);
            return Err(RegistryError::TooLarge { what, max: DOCUMENT_MAX_BYTES });
        }
        let mut stream = self.blob(Verifier::new(blob));
        let mut bytes = Vec::new();
        while let Some(more) = stream.next().await? {
            bytes.extend_from_slice(&more);
        }
        Ok(bytes.into())
    }

    fn resolved(
        &self,
        tag_digest: Digest,
        manifest_digest: Digest,
        manifest: Bytes,
        image: ImageManifest,
    ) -> Result<Resolved, RegistryError> {
        let image_ref = self.inner.reference.image_ref(manifest_digest.clone());
        let ImageManifest { config, layers } = image;
        let resolved =
            Resolved { image_ref, tag_digest, manifest_digest, manifest, config, layers };
        let max = self.inner.http.config().image_bytes_max;
        if resolved.total_bytes() > max {
            let what = format!("image `{}`", self.inner.reference);
            return Err(RegistryError::TooLarge { what, max });
        }
        Ok(resolved)
    }

    /// A document under a tag or digest, tried several times.
    async fn document(
        &self,
        name: &str,
        expected: Option<&Digest>,
        size: Option<u64>,
    ) -> Result<Fetched, RegistryError> {
        let mut backoff = Backoff::new(self.inner.http.timeouts().first_retry);
        loop {
            match self.document_once(name, expected, size).await {
                Ok(fetched) => return Ok(fetched),
                Err(error) => tokio::time::sleep(backoff.failed(error, chance())?).await,
            }
        }
    }

    async fn document_once(
        &self,
        name: &str,
        expected: Option<&Digest>,
        size: Option<u64>,
    ) -> Result<Fetched, RegistryError> {
        let answer = self.ask_once(&self.manifest_question(Method::GET, name)).await?;
        let content_type = answer.text(header::CONTENT_TYPE).map(str::to_owned);
        let claimed: Option<Digest> = answer.text(CONTENT_DIGEST).and_then(|d| d.parse().ok());
        let timeout = self.inner.http.timeouts().document;
        let what = format!("manifest `{name}`");
        let bytes = answer.read(&what, DOCUMENT_MAX_BYTES, timeout).await?;
        let digest = digest_of(&bytes);
        if let Some(expected) = expected.or(claimed.as_ref())
            && *expected != digest
        {
            let expected = expected.clone();
            return Err(RegistryError::DigestDiffers { what, expected, actual: digest });
        }
        let actual = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if let Some(expected) = size.filter(|size| *size != actual) {
            return Err(RegistryError::SizeDiffers { what, expected, actual });
        }
        let document =
            Document::parse(content_type.as_deref(), &bytes).map_err(|bad| self.bad(bad))?;
        Ok(Fetched { digest, bytes, document })
    }

    fn manifest_question(&self, method: Method, name: &str) -> Question {
        let separator = if name.contains(':') { '@' } else { ':' };
        let what = format!("{}{separator}{name}", self.inner.reference.repository());
        let path = format!("manifests/{name}");
        Question { method, path, accept: Some(ACCEPT), from_byte: 0, what }
    }

    fn bad(&self, source: BadManifest) -> RegistryError {
        RegistryError::Manifest { reference: self.inner.reference.to_string(), source }
    }

    pub(crate) fn http(&self) -> &Http {
        &self.inner.http
    }

    /// One request, with whatever the registry wants to see; an answer that is no success is an
    /// error.
    pub(crate) async fn ask_once(&self, question: &Question) -> Result<Answer, RegistryError> {
        let answer = self.answer_to(question).await?;
        if matches!(answer.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            return Ok(answer);
        }
        let refused = Refused {
            repository: self.inner.reference.repository(),
            what: &question.what,
            has_credentials: self.inner.authorizer.has_credentials(),
        };
        Err(answer.into_error(refused).await)
    }

    async fn answer_to(&self, question: &Question) -> Result<Answer, RegistryError> {
        let Inner { http, authorizer, .. } = &*self.inner;
        let mut ask = self.ask_for(question).await?;
        ask.authorization = authorizer.current();
        let answer = http.send(ask.clone()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || answer.is_elsewhere() {
            return Ok(answer);
        }
        let headers = answer.headers().get_all(header::WWW_AUTHENTICATE);
        let challenges = challenge::parse(headers.iter().filter_map(|value| value.to_str().ok()));
        let registry = answer.origin().clone();
        answer.discard().await;
        let refused = ask.authorization.as_ref();
        ask.authorization = Some(authorizer.answer(http, &registry, &challenges, refused).await?);
        http.send(ask).await
    }

    async fn ask_for(&self, question: &Question) -> Result<Ask, RegistryError> {
        let base = self.inner.base.get_or_try_init(|| self.find_base()).await?;
        let uri = format!("{base}/v2/{}/{}", self.inner.reference.repository(), question.path);
        let ask = Ask::get(uri.parse().expect("parsed names and digests make a URL"));
        let (method, from_byte) = (question.method.clone(), question.from_byte);
        Ok(Ask { method, accept: question.accept, from_byte, ..ask })
    }

    /// TLS, unless the registry may do without and turns out to.
    async fn find_base(&self) -> Result<String, RegistryError> {
        let registry = self.inner.reference.registry();
        let url = |scheme: &str| format!("{scheme}://{}", registry.served_by());
        let (tls, plain) = (url("https"), url("http"));
        let probe = |base: &str| format!("{base}/v2/").parse::<Uri>().expect("a checked host");
        let may_be_plain = crate::url::Origin::of(&probe(&plain))
            .is_some_and(|origin| self.inner.http.config().may_be_plain(&origin));
        if !may_be_plain {
            return Ok(tls);
        }
        let is_silent = |error: &RegistryError| {
            registry.port().is_none() && matches!(error, RegistryError::Unreachable { .. })
        };
        match self.inner.http.send(Ask::get(probe(&tls))).await {
            Ok(_) => Ok(tls),
            Err(error) if speaks_no_tls(&error) || is_silent(&error) => Ok(plain),
            Err(error) => Err(error),
        }
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    let hex = hex_of(&Sha256::digest(bytes));
    format!("sha256:{hex}").parse().expect("32 bytes in hex")
}
