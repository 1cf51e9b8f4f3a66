//! Bytes of a blob: streamed, resumed where a connection broke, verified at the end.

use crate::connector::within;
use crate::error::RegistryError;
use crate::http::Answer;
use crate::manifest::Descriptor;
use crate::repository::{Question, Repository};
use crate::retry::{Backoff, chance};
use crate::url::Origin;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, StatusCode, header};
use model::ids::{Digest, hex_of};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Connections for one blob: a registry that breaks more often does not want to be read.
const CONNECTIONS_MAX: u32 = 40;
/// Slowest blob: a second of waiting for each so many bytes, in bytes.
const BYTES_PER_SECOND_MIN: u64 = 16 * 1024;
/// Waiting that any blob may cause, on top of that.
const WAIT_MIN: Duration = Duration::from_secs(120);

/// Checks that bytes, in order, are those of a blob.
///
/// Made for each blob that is fetched; made of what is already there, it lets a download go on in the
/// middle.
#[derive(Clone)]
pub struct Verifier {
    expected: Descriptor,
    hash: Sha256,
    position: u64,
}

impl Verifier {
    /// Nothing has been seen of `blob`.
    #[must_use]
    pub fn new(blob: &Descriptor) -> Self {
        Self { expected: blob.clone(), hash: Sha256::new(), position: 0 }
    }

    /// The first `position` bytes of `blob` have been seen, and have this `hash`.
    ///
    /// # Errors
    /// [`RegistryError::SizeDiffers`] when these are more than the blob has.
    pub fn resumed(blob: &Descriptor, hash: Sha256, position: u64) -> Result<Self, RegistryError> {
        let verifier = Self { expected: blob.clone(), hash, position };
        if position > blob.size {
            return Err(verifier.size_differs(position));
        }
        Ok(verifier)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`RegistryError::SizeDiffers`] when these are more than the blob has; nothing is taken then.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        let n_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let position = self.position.saturating_add(n_bytes);
        if position > self.expected.size {
            return Err(self.size_differs(position));
        }
        self.hash.update(bytes);
        self.position = position;
        Ok(())
    }

    /// How many bytes have been seen.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Which blob.
    #[must_use]
    pub fn blob(&self) -> &Descriptor {
        &self.expected
    }

    /// Whether all bytes have been seen and are the right ones.
    ///
    /// # Errors
    /// [`RegistryError::SizeDiffers`] and [`RegistryError::DigestDiffers`].
    pub fn finish(&self) -> Result<(), RegistryError> {
        if !self.is_full() {
            return Err(self.size_differs(self.position));
        }
        let hex = hex_of(&self.hash.clone().finalize());
        let actual: Digest = format!("sha256:{hex}").parse().expect("32 bytes in hex");
        if actual == self.expected.digest {
            return Ok(());
        }
        let expected = self.expected.digest.clone();
        Err(RegistryError::DigestDiffers { what: self.what(), expected, actual })
    }

    fn is_full(&self) -> bool {
        self.position == self.expected.size
    }

    fn what(&self) -> String {
        format!("blob {}", self.expected.digest)
    }

    fn size_differs(&self, actual: u64) -> RegistryError {
        RegistryError::SizeDiffers { what: self.what(), expected: self.expected.size, actual }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("expected", &self.expected)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// The bytes of a blob, as they come.
#[derive(Debug)]
pub struct BlobStream {
    repository: Repository,
    verifier: Verifier,
    body: Option<Body>,
    backoff: Backoff,
    n_connections: u32,
    waited: Duration,
}

#[derive(Debug)]
struct Body {
    incoming: Incoming,
    origin: Origin,
    /// Bytes that are sent again, because the registry does not start in the middle.
    n_again: u64,
}

impl BlobStream {
    pub(crate) fn new(repository: Repository, have: Verifier) -> Self {
        let backoff = Backoff::new(repository.http().timeouts().first_retry);
        Self {
            repository,
            verifier: have,
            body: None,
            backoff,
            n_connections: 0,
            waited: Duration::ZERO,
        }
    }

    /// How many bytes have been given out, together with those that were there before.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.verifier.position()
    }

    /// The next bytes; nothing when all have come and are the right ones. Dropping the future loses
    /// nothing: the next call goes on.
    ///
    /// # Errors
    /// Any [`RegistryError`]. What was given out before is not to be trusted after
    /// [`RegistryError::DigestDiffers`]; it may be kept to go on from after all others.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            if self.verifier.is_full() {
                self.body = None;
                return self.verifier.finish().map(|()| None);
            }
            match self.more().await {
                Ok(Some(bytes)) => {
                    self.backoff.succeeded();
                    self.verifier.feed(&bytes)?;
                    return Ok(Some(bytes));
                }
                Ok(None) => {}
                Err(error) => self.retreat(error).await?,
            }
        }
    }

    /// New bytes, or nothing when none have come yet but may.
    async fn more(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let Some(body) = &mut self.body else {
            self.body = Some(self.open().await?);
            self.n_connections += 1;
            return Ok(None);
        };
        let before = Instant::now();
        let stall = self.repository.http().timeouts().stall;
        let frame = within(stall, &body.origin, "send more bytes", body.incoming.frame()).await?;
        self.waited += before.elapsed();
        let bytes = match frame {
            None => return Err(cut_off(&body.origin)),
            Some(Err(source)) => return Err(interrupted(&body.origin, Arc::new(source))),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let new = body.without_repeated(bytes);
        self.check_speed()?;
        Ok((!new.is_empty()).then_some(new))
    }

    /// Asks for what is missing.
    async fn open(&self) -> Result<Body, RegistryError> {
        let blob = &self.verifier.expected;
        let position = self.verifier.position;
        let question = Question {
            method: Method::GET,
            path: format!("blobs/{}", blob.digest),
            accept: None,
            from_byte: position,
            what: self.verifier.what(),
        };
        let answer = self.repository.ask_once(&question).await?;
        let n_again = if answer.status() == StatusCode::PARTIAL_CONTENT {
            self.check_range(&answer)?;
            0
        } else {
            position
        };
        let expected = blob.size - position + n_again;
        if let Some(actual) = answer.length().filter(|length| *length != expected) {
            return Err(self.verifier.size_differs(actual.saturating_add(position - n_again)));
        }
        let origin = answer.origin().clone();
        Ok(Body { incoming: answer.into_body(), origin, n_again })
    }

    /// Whether a partial answer is the part that was asked for. Source: RFC 9110, 14.4.
    fn check_range(&self, answer: &Answer) -> Result<(), RegistryError> {
        let text = answer.text(header::CONTENT_RANGE).unwrap_or_default();
        let size = self.verifier.expected.size;
        if parse_range(text).is_some_and(|(first, total)| {
            first == self.verifier.position && total.is_none_or(|total| total == size)
        }) {
            return Ok(());
        }
        let why = "it is not the part of the blob that was asked for".to_owned();
        Err(RegistryError::BadAnswer { host: answer.origin().to_string(), why })
    }

    /// After a failure: waits a while, unless it was one too many.
    async fn retreat(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.body = None;
        if self.n_connections >= CONNECTIONS_MAX {
            return Err(error);
        }
        tracing::debug!(blob = %self.verifier.expected.digest, at = self.position(), %error, "resume");
        tokio::time::sleep(self.backoff.failed(error, chance())?).await;
        Ok(())
    }

    /// A registry that sends a byte now and then is never silent, and never done.
    fn check_speed(&self) -> Result<(), RegistryError> {
        let after = patience_at(self.verifier.position);
        let Some(body) = self.body.as_ref().filter(|_| self.waited > after) else { return Ok(()) };
        let host = body.origin.to_string();
        Err(RegistryError::Timeout { host, doing: "send a blob at a usable speed", after })
    }
}

/// How much waiting the first `position` bytes of a blob may cause.
fn patience_at(position: u64) -> Duration {
    WAIT_MIN + Duration::from_secs(position / BYTES_PER_SECOND_MIN)
}

impl Body {
    fn without_repeated(&mut self, mut bytes: Bytes) -> Bytes {
        let n_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let n_dropped = n_bytes.min(self.n_again);
        self.n_again -= n_dropped;
        bytes.split_off(usize::try_from(n_dropped).unwrap_or(usize::MAX))
    }
}

/// First byte and size of `bytes 0-9/10`; the size may be `*`.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((first.trim().parse().ok()?, total))
}

fn interrupted(origin: &Origin, source: Arc<dyn std::error::Error + Send + Sync>) -> RegistryError {
    RegistryError::Interrupted { host: origin.to_string(), source }
}

fn cut_off(origin: &Origin) -> RegistryError {
    let end = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    interrupted(origin, Arc::new(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_say_where_they_begin() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        for wrong in ["", "bytes */10", "bytes 5/10", "items 5-9/10", "bytes a-9/10", "bytes 5-9/x"]
        {
            assert_eq!(parse_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bytes_earn_patience() {
        assert_eq!(patience_at(0), WAIT_MIN);
        assert_eq!(patience_at(16 << 20), WAIT_MIN + Duration::from_secs(1_024));
    }

    #[test]
    fn a_verifier_takes_exactly_the_blob() {
        let digest = format!("sha256:{}", hex_of(&Sha256::digest(b"hello")));
        let digest: Digest = digest.parse().expect("a digest");
        let blob = Descriptor { media_type: String::new(), digest, size: 5 };
        let mut verifier = Verifier::new(&blob);
        assert!(matches!(verifier.finish(), Err(RegistryError::SizeDiffers { actual: 0, .. })));
        verifier.feed(b"hel").expect("fits");
        let error = verifier.feed(b"lo!").expect_err("does not fit");
        assert!(matches!(error, RegistryError::SizeDiffers { actual: 6, .. }));
        verifier.feed(b"lo").expect("fits");
        verifier.finish().expect("is the blob");
        let hash_of = |bytes: &[u8]| Sha256::new().chain_update(bytes);
        let mut resumed = Verifier::resumed(&blob, hash_of(b"hel"), 3).expect("fits");
        resumed.feed(b"lo").expect("fits");
        resumed.finish().expect("is the blob");
        let error = Verifier::resumed(&blob, hash_of(b"hello!"), 6).expect_err("does not fit");
        assert!(matches!(error, RegistryError::SizeDiffers { actual: 6, .. }));
        let mut other = Verifier::new(&blob);
        other.feed(b"HELLO").expect("fits");
        assert!(matches!(other.finish(), Err(RegistryError::DigestDiffers { .. })));
    }
}
