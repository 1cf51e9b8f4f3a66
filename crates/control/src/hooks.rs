//! Hooks: names under which the outside posts to a machine's inbox, and so can wake it.
//!
//! A hook belongs to an app and leads to one machine. Whoever posts needs no token; a hook with a
//! secret takes only what is signed with it. What is posted becomes one message whose writer is
//! `token:hook.NAME`, under an id that makes a post that is sent twice one message.
//!
//! * `signature`: how a post is signed. `standard`: the scheme that we sign with too.
//! * `turnover`: how a secret is changed. `rate`: how many posts a second.
//!
//! Who posts learns nothing about hooks that he does not know: whether an app, a hook or its machine
//! is missing, the answer is the same.

mod rate;
pub(crate) mod signature;
pub(crate) mod standard;
pub(crate) mod turnover;

pub use rate::{HOOK_BURST, HOOK_PER_SECOND};
pub use signature::{BadSignature, HookSignature, InvalidHookSignature, SignatureScheme};
pub use turnover::{OLD_SECRETS_MAX, OVERLAP, OVERLAP_MAX, Retiring};

use crate::error::ControlError;
use govern::Writer;
use govern::limits::{MESSAGE_ID_BYTES_MAX, NAME_BYTES_MAX};
use model::{AppName, MachineId, UnixMs, hex_of};
use rate::Rates;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Hooks of one app: every service that somebody has, and then some.
pub const HOOKS_MAX: usize = 64;

/// Start of the name of a hook's writer, which is that of a token; no real token has such a name.
pub const HOOK_WRITER_PREFIX: &str = "hook.";

/// Longest name of a hook, in bytes: its writer's name is one of a writer.
pub const HOOK_NAME_MAX_BYTES: usize = NAME_BYTES_MAX - HOOK_WRITER_PREFIX.len();

/// Lengths of a secret, in bytes: shorter ones are guessed, and no service has longer ones.
pub(crate) const HOOK_SECRET_BYTES: std::ops::RangeInclusive<usize> = 8..=256;

/// Headers by which senders name a post, the first that is there counts.
const ID_HEADERS: [&str; 3] = ["idempotency-key", "webhook-id", "x-github-delivery"];

/// A hook, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The app it belongs to.
    pub app: AppName,
    /// Its name, unique within the app.
    pub name: String,
    /// Whose inbox it fills.
    pub machine: MachineId,
    /// Its messages wake the machine by themselves.
    pub wake: bool,
    /// How posts must be signed; `None` takes everything.
    pub signature: Option<HookSignature>,
    /// When it was made, or made anew.
    pub created_at: UnixMs,
    /// Secrets that were replaced, and still count.
    pub old_secrets: Vec<Retiring>,
}

/// What signs the notifications of an app.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    /// The secret, in the form of Standard Webhooks.
    pub secret: String,
    /// Secrets that were replaced, and sign beside it.
    pub old_secrets: Vec<Retiring>,
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningSecret")
            .field("old_secrets", &self.old_secrets)
            .finish_non_exhaustive()
    }
}

/// A hook as somebody wants it.
#[derive(Clone, Debug)]
pub struct HookWish {
    /// Id or name of a machine of the app.
    pub machine: String,
    /// Its messages wake the machine by themselves.
    pub wake: bool,
    /// What posts are signed with.
    pub secret: SecretWish,
    /// How; `None` keeps what a hook of this name has, else `standard-webhooks`.
    pub signature: Option<HookSignature>,
}

/// What posts to a hook are signed with.
#[derive(Clone)]
pub enum SecretWish {
    /// What a hook of this name has; a new one has none.
    Keep,
    /// This.
    Given(String),
    /// Something drawn now, and shown once.
    Generate,
}

impl std::fmt::Debug for SecretWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::Given(_) => "Given(…)",
            Self::Generate => "Generate",
        })
    }
}

/// Something posted to a hook.
#[derive(Clone, Debug, Default)]
pub struct HookPost {
    /// Headers, names in lower case; those that are no text are left out.
    pub headers: BTreeMap<String, String>,
    /// The message.
    pub body: String,
}

/// What came of a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookPosted {
    /// Number of the message in the inbox.
    pub seq: u64,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Why a post was not taken.
#[derive(Debug, thiserror::Error)]
pub enum HookRefused {
    /// There is no such hook, or nothing behind it.
    #[error("there is no such hook")]
    Unknown,
    /// The signature is not right.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Too many posts.
    #[error("more than {HOOK_PER_SECOND} posts a second")]
    Rate {
        /// When the next one may come.
        wait: Duration,
    },
    /// The inbox did not take it.
    #[error("the message was not stored")]
    Inbox(#[from] ControlError),
}

/// What all hooks share.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    rates: Mutex<Rates>,
}

impl Hooks {
    /// Counts a post.
    pub(crate) fn admit(&self, app: &AppName, hook: &str, now: Instant) -> Result<(), HookRefused> {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.admit((app.clone(), hook.to_owned()), now).map_err(|wait| HookRefused::Rate { wait })
    }
}

/// Whether a text may be a hook's name.
#[must_use]
pub(crate) fn is_hook_name(name: &str) -> bool {
    let is_word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    is_word && (1..=HOOK_NAME_MAX_BYTES).contains(&name.len())
}

/// Who writes what comes by a hook.
pub(crate) fn writer_of(hook: &str) -> Writer {
    Writer::Token(format!("{HOOK_WRITER_PREFIX}{hook}"))
}

/// The id of a post's message. Of a signed one it is what was signed, if the scheme signs an id:
/// otherwise whoever repeats a post could give it another.
pub(crate) fn id_of(
    hook: &str,
    post: &HookPost,
    scheme: Option<SignatureScheme>,
) -> Option<String> {
    let signed = (scheme == Some(SignatureScheme::StandardWebhooks)).then_some(standard::ID_HEADER);
    let header = |name: &str| post.headers.get(name).filter(|id| !id.is_empty());
    let id = match signed {
        Some(name) => header(name),
        None => ID_HEADERS.iter().find_map(|name| header(name)),
    };
    id.map(|id| message_id(hook, id))
}

/// Ids of one hook never meet those of another. One that is too long is named by its digest.
pub(crate) fn message_id(hook: &str, id: &str) -> String {
    let plain = format!("{hook}:{id}");
    if plain.len() <= MESSAGE_ID_BYTES_MAX {
        return plain;
    }
    format!("{hook}:{}", hex_of(&Sha256::digest(id.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(headers: &[(&str, &str)]) -> HookPost {
        let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        HookPost { headers: headers.iter().map(own).collect(), body: String::new() }
    }

    #[track_caller]
    fn check(headers: &[(&str, &str)], scheme: Option<SignatureScheme>, expected: Option<&str>) {
        assert_eq!(id_of("h", &post(headers), scheme).as_deref(), expected);
    }

    #[test]
    fn a_post_is_named_by_its_sender() {
        check(&[], None, None);
        check(&[("idempotency-key", "")], None, None);
        check(&[("webhook-id", "a")], None, Some("h:a"));
        check(&[("x-github-delivery", "b")], Some(SignatureScheme::Github), Some("h:b"));
        check(&[("webhook-id", "a"), ("idempotency-key", "k")], None, Some("h:k"));
    }

    #[test]
    fn a_signed_id_counts_before_one_that_anybody_can_change() {
        let headers = [("webhook-id", "a"), ("idempotency-key", "k")];
        check(&headers, Some(SignatureScheme::StandardWebhooks), Some("h:a"));
    }

    #[test]
    fn names_and_ids_have_room_where_they_go() {
        let longest = "n".repeat(HOOK_NAME_MAX_BYTES);
        assert!(is_hook_name(&longest) && !is_hook_name(&format!("{longest}n")));
        assert!(!is_hook_name("") && !is_hook_name("a.b") && !is_hook_name("é"));
        let writer = writer_of(&longest).to_string();
        assert_eq!(writer.parse::<Writer>().unwrap(), writer_of(&longest));
        let (one, other) = (message_id(&longest, &"i".repeat(500)), message_id(&longest, "x"));
        assert!(one.len() <= MESSAGE_ID_BYTES_MAX && other.len() <= MESSAGE_ID_BYTES_MAX);
        assert_ne!(message_id(&longest, &"i".repeat(501)), one);
    }
}
