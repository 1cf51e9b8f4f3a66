//! Standard Webhooks: how we sign what we send, and one of the ways in which posts are signed.
//!
//! `base64(HMAC-SHA256(key, "{id}.{timestamp}.{body}"))`, where the secret is `whsec_` and the key in
//! base64. Several signatures may stand in a header, separated by blanks, while keys are changed.
//!
//! Source: the Standard Webhooks specification 1.0, "Signature scheme".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::DurationMs;
use ring::hmac;
use std::fmt;

/// Header with the id of a message: the same each time it is sent.
pub(crate) const ID_HEADER: &str = "webhook-id";
/// Header with the moment of this sending, in Unix seconds.
pub(crate) const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Header with the signatures.
pub(crate) const SIGNATURE_HEADER: &str = "webhook-signature";

/// How far a post's moment may be from ours, either way, unless the hook says otherwise. Source: the
/// reference libraries of Standard Webhooks.
pub(super) const TOLERANCE: DurationMs = DurationMs::from_secs(300);

/// Start of a secret.
const SECRET_PREFIX: &str = "whsec_";
/// Start of a signature with a shared key.
const VERSION: &str = "v1";
/// Signatures in one header that are looked at: the keys of a change, and some.
pub(super) const SIGNATURES_MAX: usize = 8;
/// Keys in bytes. Source: the specification, "Signature scheme".
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What messages are signed with.
#[derive(Clone)]
pub(crate) struct Key(hmac::Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A secret from 32 random bytes.
pub(crate) fn secret_from(chance: [u8; 32]) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(chance))
}

impl Key {
    /// The key of a secret, with or without its prefix; nothing when the secret is none.
    pub(crate) fn of(secret: &str) -> Option<Self> {
        let bytes = STANDARD.decode(secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret)).ok()?;
        KEY_BYTES.contains(&bytes.len()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The signature of a message that is sent at `at_s`, in Unix seconds.
    pub(crate) fn sign(&self, id: &str, at_s: u64, body: &str) -> String {
        let tag = hmac::sign(&self.0, signed(id, &at_s.to_string(), body).as_bytes());
        format!("{VERSION},{}", STANDARD.encode(tag))
    }

    /// Whether one of `signatures` is that of the message. Takes the same time for every wrong one.
    pub(crate) fn verify(&self, id: &str, timestamp: &str, body: &str, signatures: &str) -> bool {
        let signed = signed(id, timestamp, body);
        let is_right = |signature: &str| {
            let tag = signature.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix(','));
            let tag = tag.and_then(|tag| STANDARD.decode(tag).ok());
            tag.is_some_and(|tag| hmac::verify(&self.0, signed.as_bytes(), &tag).is_ok())
        };
        signatures.split(' ').take(SIGNATURES_MAX).any(is_right)
    }
}

/// All keys that count: one, and while it is changed those before it.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// The keys of secrets; nothing when one of them is none.
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        secrets.into_iter().map(Key::of).collect::<Option<_>>().map(Self)
    }

    /// A signature by each key, in the order of their secrets, as a header has them.
    pub(crate) fn sign(&self, id: &str, at_s: u64, body: &str) -> String {
        self.0.iter().map(|key| key.sign(id, at_s, body)).collect::<Vec<_>>().join(" ")
    }

    /// Whether one of `signatures` is by one of the keys.
    pub(crate) fn verify(&self, id: &str, timestamp: &str, body: &str, signatures: &str) -> bool {
        self.0.iter().any(|key| key.verify(id, timestamp, body, signatures))
    }
}

fn signed(id: &str, timestamp: &str, body: &str) -> String {
    format!("{id}.{timestamp}.{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the reference libraries; `openssl dgst -sha256 -mac HMAC` says the same.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT_S: u64 = 1_614_265_330;
    const BODY: &str = r#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn key() -> Key {
        Key::of(SECRET).expect("a key")
    }

    #[test]
    fn the_published_example_is_signed_as_published() {
        assert_eq!(key().sign(ID, AT_S, BODY), SIGNATURE);
        let without_prefix = Key::of("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a key");
        assert_eq!(without_prefix.sign(ID, AT_S, BODY), SIGNATURE);
    }

    #[track_caller]
    fn check(id: &str, timestamp: &str, body: &str, signatures: &str, expected: bool) {
        assert_eq!(key().verify(id, timestamp, body, signatures), expected, "{signatures}");
    }

    #[test]
    fn only_what_was_signed_verifies() {
        let at = AT_S.to_string();
        check(ID, &at, BODY, SIGNATURE, true);
        check(ID, &at, BODY, &format!("v1a,AAAA v1,AAAA {SIGNATURE}"), true);
        check("msg_other", &at, BODY, SIGNATURE, false);
        check(ID, "1614265331", BODY, SIGNATURE, false);
        check(ID, &at, r#"{"test": 2432232315}"#, SIGNATURE, false);
        check(ID, &at, BODY, SIGNATURE.trim_start_matches("v1,"), false);
        check(ID, &at, BODY, "v1,", false);
        check(ID, &at, BODY, "", false);
        check(ID, &at, BODY, &format!("{}{SIGNATURE}", "v1,AAAA ".repeat(SIGNATURES_MAX)), false);
    }

    #[test]
    fn while_a_key_is_changed_each_signs() {
        let other = secret_from([7; 32]);
        let keys = Keys::of([other.as_str(), SECRET]).expect("keys");
        let signatures = keys.sign(ID, AT_S, BODY);
        assert_eq!(signatures.split(' ').nth(1), Some(SIGNATURE));
        check(ID, &AT_S.to_string(), BODY, &signatures, true);
        assert!(Key::of(&other).expect("a key").verify(ID, &AT_S.to_string(), BODY, &signatures));
        assert!(keys.verify(ID, &AT_S.to_string(), BODY, SIGNATURE));
        assert!(!keys.verify(ID, &AT_S.to_string(), "", SIGNATURE));
        assert!(Keys::of([SECRET, "none"]).is_none());
    }

    #[test]
    fn a_secret_is_a_key_of_fitting_length() {
        assert!(Key::of(&secret_from([7; 32])).is_some());
        assert!(Key::of("whsec_").is_none() && Key::of("not base64!").is_none());
        assert!(Key::of("whsec_c2hvcnQ=").is_none());
    }
}
