//! How a post is signed, and whether it is.
//!
//! Signatures are compared by `ring`, in the same time for every wrong one.
//!
//! Sources: the Standard Webhooks specification 1.0; GitHub, "Validating webhook deliveries".

use super::HookPost;
use super::standard::{ID_HEADER, Key, SIGNATURE_HEADER, TIMESTAMP_HEADER, TOLERANCE, secret_from};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{DurationMs, UnixMs, hex_of};
use ring::hmac;
use serde::{Deserialize, Serialize};

/// Longest header name and prefix, in bytes.
const WORD_MAX_BYTES: usize = 64;

/// Longest tolerance: beyond an hour it is no protection against posts that are sent again.
const TOLERANCE_MAX: DurationMs = DurationMs::from_secs(3600);

/// Header of GitHub's signatures.
const GITHUB_HEADER: &str = "x-hub-signature-256";
/// Start of GitHub's signatures.
const GITHUB_PREFIX: &str = "sha256=";

/// How posts to a hook are signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookSignature {
    /// By which scheme.
    pub scheme: SignatureScheme,
    /// Header with the signature, in lower case.
    pub header: String,
    /// What stands before it there.
    pub prefix: String,
    /// How far the moment that is signed may be from ours, either way; zero where the scheme signs
    /// none.
    pub tolerance: DurationMs,
}

/// What is signed, and how the signature is written. All are HMAC with SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureScheme {
    /// The body, in hex.
    HmacSha256Hex,
    /// The body, in base64.
    HmacSha256Base64,
    /// Id, moment and body, by the specification of that name.
    StandardWebhooks,
    /// The body, as GitHub writes it.
    Github,
}

/// Why something is no way of signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHookSignature {
    /// The scheme must be told where to look.
    #[error("this scheme needs the name of the `header` with the signature")]
    NoHeader,
    /// The scheme knows where to look.
    #[error("this scheme has its own header and prefix")]
    OwnHeader,
    /// A header or prefix that cannot be one.
    #[error("`header` and `prefix` have at most {WORD_MAX_BYTES} plain characters")]
    Word,
    /// The scheme signs no moment.
    #[error("only `standard-webhooks` signs a moment, so only it has a `tolerance`")]
    NoMoment,
    /// Out of range.
    #[error("`tolerance` is more than nothing and at most an hour")]
    Tolerance,
}

/// Why a post is not what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// A header is missing.
    #[error("the header `{header}` is missing")]
    Missing {
        /// Which.
        header: String,
    },
    /// It was made with another secret, or for something else.
    #[error("the signature in `{header}` is not right")]
    Wrong {
        /// Where it stands.
        header: String,
    },
    /// Sent too long ago, or not yet: perhaps sent again by somebody else.
    #[error("the moment in `webhook-timestamp` is too far from now")]
    Moment,
}

impl HookSignature {
    /// By `scheme`, with what it leaves open.
    ///
    /// # Errors
    /// [`InvalidHookSignature`].
    pub fn new(
        scheme: SignatureScheme,
        header: Option<&str>,
        prefix: Option<&str>,
        tolerance: Option<DurationMs>,
    ) -> Result<Self, InvalidHookSignature> {
        use SignatureScheme::{Github, HmacSha256Base64, HmacSha256Hex, StandardWebhooks};
        let (header, prefix) = match (scheme, header, prefix) {
            (HmacSha256Hex | HmacSha256Base64, Some(header), prefix) => {
                (header, prefix.unwrap_or_default())
            }
            (HmacSha256Hex | HmacSha256Base64, None, _) => {
                return Err(InvalidHookSignature::NoHeader);
            }
            (StandardWebhooks, None, None) => (SIGNATURE_HEADER, ""),
            (Github, None, None) => (GITHUB_HEADER, GITHUB_PREFIX),
            (StandardWebhooks | Github, _, _) => return Err(InvalidHookSignature::OwnHeader),
        };
        let is_word = |text: &str| {
            text.len() <= WORD_MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if header.is_empty() || !is_word(header) || !is_word(prefix) {
            return Err(InvalidHookSignature::Word);
        }
        let tolerance = match (scheme, tolerance) {
            (StandardWebhooks, None) => TOLERANCE,
            (StandardWebhooks, Some(given)) if (1..=TOLERANCE_MAX.0).contains(&given.0) => given,
            (StandardWebhooks, Some(_)) => return Err(InvalidHookSignature::Tolerance),
            (_, None) => DurationMs(0),
            (_, Some(_)) => return Err(InvalidHookSignature::NoMoment),
        };
        let (header, prefix) = (header.to_ascii_lowercase(), prefix.to_owned());
        Ok(Self { scheme, header, prefix, tolerance })
    }

    /// The usual one: that by which we sign ourselves.
    pub(crate) fn standard() -> Self {
        Self::new(SignatureScheme::StandardWebhooks, None, None, None)
            .expect("it leaves nothing open")
    }

    /// A secret for this scheme, from random bytes.
    pub(crate) fn secret_from(&self, chance: [u8; 32]) -> String {
        match self.scheme {
            SignatureScheme::StandardWebhooks => secret_from(chance),
            SignatureScheme::HmacSha256Hex
            | SignatureScheme::HmacSha256Base64
            | SignatureScheme::Github => hex_of(&chance),
        }
    }

    /// Whether posts can be signed with `secret`.
    pub(crate) fn takes(&self, secret: &str) -> bool {
        match self.scheme {
            SignatureScheme::StandardWebhooks => Key::of(secret).is_some(),
            SignatureScheme::HmacSha256Hex
            | SignatureScheme::HmacSha256Base64
            | SignatureScheme::Github => super::HOOK_SECRET_BYTES.contains(&secret.len()),
        }
    }

    /// Whether the post is signed with one of `secrets`, of which there is one at least.
    ///
    /// # Errors
    /// [`BadSignature`]: by the first, unless a later one is right and only its moment is not.
    pub(crate) fn verify_any<'a>(
        &self,
        secrets: impl IntoIterator<Item = &'a str>,
        post: &HookPost,
        now: UnixMs,
    ) -> Result<(), BadSignature> {
        let mut answer = Err(self.wrong());
        for (n_before, secret) in secrets.into_iter().enumerate() {
            match self.verify(secret, post, now) {
                Ok(()) => return Ok(()),
                Err(BadSignature::Moment) => return Err(BadSignature::Moment),
                Err(why) if n_before == 0 => answer = Err(why),
                Err(_the_same) => {}
            }
        }
        answer
    }

    /// Whether the post is signed with `secret`.
    ///
    /// # Errors
    /// [`BadSignature`].
    fn verify(&self, secret: &str, post: &HookPost, now: UnixMs) -> Result<(), BadSignature> {
        let shown = header_of(post, &self.header)?;
        let is_right = match self.scheme {
            SignatureScheme::StandardWebhooks => return self.verify_standard(secret, post, now),
            SignatureScheme::HmacSha256Base64 => {
                self.is_of(secret, post, STANDARD.decode(self.bare(shown)).ok())
            }
            SignatureScheme::HmacSha256Hex | SignatureScheme::Github => {
                self.is_of(secret, post, from_hex(self.bare(shown)))
            }
        };
        if is_right { Ok(()) } else { Err(self.wrong()) }
    }

    fn is_of(&self, secret: &str, post: &HookPost, tag: Option<Vec<u8>>) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        tag.is_some_and(|tag| hmac::verify(&key, post.body.as_bytes(), &tag).is_ok())
    }

    /// The signature without its prefix; nothing, which is none, when that is missing.
    fn bare<'a>(&self, shown: &'a str) -> &'a str {
        shown.strip_prefix(self.prefix.as_str()).unwrap_or_default()
    }

    fn verify_standard(
        &self,
        secret: &str,
        post: &HookPost,
        now: UnixMs,
    ) -> Result<(), BadSignature> {
        let signatures = header_of(post, &self.header)?;
        let id = header_of(post, ID_HEADER)?;
        let timestamp = header_of(post, TIMESTAMP_HEADER)?;
        let is_right =
            Key::of(secret).is_some_and(|key| key.verify(id, timestamp, &post.body, signatures));
        if !is_right {
            return Err(self.wrong());
        }
        let sent_at = timestamp.parse().map(|s: u64| UnixMs(s.saturating_mul(1000)));
        let sent_at = sent_at.map_err(|_no_number| BadSignature::Moment)?;
        let is_near = now.since(sent_at) <= self.tolerance && sent_at.since(now) <= self.tolerance;
        if is_near { Ok(()) } else { Err(BadSignature::Moment) }
    }

    fn wrong(&self) -> BadSignature {
        BadSignature::Wrong { header: self.header.clone() }
    }
}

fn header_of<'a>(post: &'a HookPost, name: &str) -> Result<&'a str, BadSignature> {
    let missing = || BadSignature::Missing { header: name.to_owned() };
    post.headers.get(name).map(String::as_str).ok_or_else(missing)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
