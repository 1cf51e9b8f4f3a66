//! Keys of apps that sign or encrypt here and never leave.
//!
//! A key is bytes of a kind; what it can do follows from the kind. Nothing here is stored or sealed:
//! that is done around it.

mod cipher;

use crate::error::ControlError;
use cipher::Cipher;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
};
use std::fmt;
use std::str::FromStr;

/// Keys of one app.
pub const SECRET_KEYS_MAX: usize = 64;

/// Shortest key of an HMAC that somebody brings, in bytes: a shorter one can be guessed.
const HMAC_KEY_MIN_BYTES: usize = 16;

/// Longest key that somebody brings, in bytes: that of no kind is longer.
const KEY_MAX_BYTES: usize = 512;

/// Bytes of a tag of `crypto_auth`. Source: NaCl, `crypto_auth_hmacsha512256`.
const AUTH_BYTES: usize = 32;

/// Bytes of the seed of an Ed25519 key, and of a key with its public half behind it, as NaCl has it.
const SEED_BYTES: usize = 32;
const SEED_AND_PUBLIC_BYTES: usize = 64;

/// What a key does. Source: machines-api 1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// HMAC with SHA-256, as JSON web tokens have it.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// HMAC with SHA-512, of which the first half is the tag.
    NaclAuth,
    /// ECDSA on P-256 with SHA-256; a signature is r and s.
    Es256,
    /// Ed25519.
    NaclSign,
    /// XAES-256-GCM.
    Xaes256Gcm,
    /// A key pair of X25519: the public half encrypts, which the one here decrypts.
    NaclBox,
    /// XSalsa20 and Poly1305.
    NaclSecretBox,
}

const KINDS: [(&str, KeyKind); 9] = [
    ("hs256", KeyKind::Hs256),
    ("hs384", KeyKind::Hs384),
    ("hs512", KeyKind::Hs512),
    ("nacl_auth", KeyKind::NaclAuth),
    ("es256", KeyKind::Es256),
    ("nacl_sign", KeyKind::NaclSign),
    ("xaes256gcm", KeyKind::Xaes256Gcm),
    ("nacl_box", KeyKind::NaclBox),
    ("nacl_secretbox", KeyKind::NaclSecretBox),
];

impl FromStr for KeyKind {
    type Err = ControlError;

    fn from_str(word: &str) -> Result<Self, ControlError> {
        if let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == word) {
            return Ok(*kind);
        }
        let known = KINDS.map(|(word, _)| word).join(", ");
        Err(ControlError::Invalid {
            code: "invalid_key_type",
            message: format!("key type `{word}` is unknown"),
            hint: format!("types are: {known}"),
        })
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, _) = KINDS.iter().find(|(_, kind)| kind == self).expect("each kind has a word");
        f.write_str(word)
    }
}

/// A key that can be used.
pub(crate) enum Key {
    Hmac { key: hmac::Key, tag_bytes: usize },
    Es256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Cipher(Cipher),
}

impl fmt::Debug for Key {
    /// Without anything of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl Key {
    /// The key that these bytes are.
    ///
    /// # Errors
    /// [`ControlError::Invalid`].
    pub(crate) fn of(kind: KeyKind, bytes: &[u8]) -> Result<Self, ControlError> {
        if bytes.len() > KEY_MAX_BYTES {
            return Err(no_key(kind));
        }
        let hmac = |algorithm: hmac::Algorithm| {
            let tag_bytes = algorithm.digest_algorithm().output_len();
            let key = hmac::Key::new(algorithm, bytes);
            let is_long = bytes.len() >= HMAC_KEY_MIN_BYTES;
            is_long.then_some(Self::Hmac { key, tag_bytes }).ok_or_else(|| no_key(kind))
        };
        match kind {
            KeyKind::Hs256 => hmac(hmac::HMAC_SHA256),
            KeyKind::Hs384 => hmac(hmac::HMAC_SHA384),
            KeyKind::Hs512 => hmac(hmac::HMAC_SHA512),
            KeyKind::NaclAuth if bytes.len() == AUTH_BYTES => {
                let key = hmac::Key::new(hmac::HMAC_SHA512, bytes);
                Ok(Self::Hmac { key, tag_bytes: AUTH_BYTES })
            }
            KeyKind::NaclAuth => Err(no_key(kind)),
            KeyKind::Es256 => {
                let (algorithm, chance) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, bytes, &chance);
                pair.map(Self::Es256).map_err(|_rejected| no_key(kind))
            }
            KeyKind::NaclSign => {
                let pair = match bytes.len() {
                    SEED_BYTES => Ed25519KeyPair::from_seed_unchecked(bytes),
                    SEED_AND_PUBLIC_BYTES => {
                        let (seed, public) = bytes.split_at(SEED_BYTES);
                        Ed25519KeyPair::from_seed_and_public_key(seed, public)
                    }
                    _ => return Err(no_key(kind)),
                };
                pair.map(Self::Ed25519).map_err(|_rejected| no_key(kind))
            }
            KeyKind::Xaes256Gcm | KeyKind::NaclBox | KeyKind::NaclSecretBox => {
                Cipher::of(kind, bytes).map(Self::Cipher)
            }
        }
    }

    /// Bytes of a new key.
    ///
    /// # Errors
    /// The kernel gives no chance.
    pub(crate) fn draw(kind: KeyKind) -> Result<Vec<u8>, ControlError> {
        let chance = SystemRandom::new();
        let bytes = |len: usize| {
            let mut bytes = vec![0; len];
            chance.fill(&mut bytes).map(|()| bytes)
        };
        let drawn = match kind {
            KeyKind::Hs256 | KeyKind::NaclAuth | KeyKind::NaclSign => bytes(32),
            KeyKind::Xaes256Gcm | KeyKind::NaclBox | KeyKind::NaclSecretBox => {
                bytes(cipher::KEY_BYTES)
            }
            KeyKind::Hs384 => bytes(48),
            KeyKind::Hs512 => bytes(64),
            KeyKind::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &chance)
                    .map(|key| key.as_ref().to_vec())
            }
        };
        drawn.map_err(|_no_chance| ControlError::Bug { message: "no key was drawn".to_owned() })
    }

    /// Its public half.
    pub(crate) fn public(&self) -> Option<Vec<u8>> {
        match self {
            Self::Hmac { .. } => None,
            Self::Es256(pair) => Some(pair.public_key().as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.public_key().as_ref().to_vec()),
            Self::Cipher(cipher) => cipher.public(),
        }
    }

    /// What it encrypts with.
    ///
    /// # Errors
    /// [`ControlError::Invalid`]: it signs.
    pub(crate) fn cipher(&self) -> Result<&Cipher, ControlError> {
        match self {
            Self::Cipher(cipher) => Ok(cipher),
            Self::Hmac { .. } | Self::Es256(_) | Self::Ed25519(_) => {
                Err(wrong_kind("signs", "xaes256gcm, nacl_box and nacl_secretbox encrypt"))
            }
        }
    }

    /// Signs.
    ///
    /// # Errors
    /// [`ControlError::Invalid`]: it encrypts; the kernel gives no chance.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, ControlError> {
        match self {
            Self::Hmac { key, tag_bytes } => {
                Ok(hmac::sign(key, message).as_ref()[..*tag_bytes].to_vec())
            }
            Self::Es256(pair) => {
                let signed = pair.sign(&SystemRandom::new(), message);
                signed.map(|signature| signature.as_ref().to_vec()).map_err(|_no_chance| {
                    ControlError::Bug { message: "nothing was signed".to_owned() }
                })
            }
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Cipher(_) => Err(signs_nothing()),
        }
    }

    /// Whether `signature` is what it signs `message` with.
    ///
    /// # Errors
    /// [`ControlError::Invalid`]: it encrypts.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> Result<bool, ControlError> {
        let by_public = |algorithm: &'static dyn signature::VerificationAlgorithm,
                         public: &[u8]| {
            UnparsedPublicKey::new(algorithm, public).verify(message, signature).is_ok()
        };
        Ok(match self {
            Self::Hmac { key, tag_bytes } => {
                let tag = hmac::sign(key, message);
                is_equal(&tag.as_ref()[..*tag_bytes], signature)
            }
            Self::Es256(pair) => by_public(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref()),
            Self::Ed25519(pair) => by_public(&ED25519, pair.public_key().as_ref()),
            Self::Cipher(_) => return Err(signs_nothing()),
        })
    }
}

/// In a time that tells nothing of where they differ.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn signs_nothing() -> ControlError {
    wrong_kind("encrypts", "hs256, hs384, hs512, es256, nacl_auth and nacl_sign sign")
}

fn wrong_kind(does: &str, others: &str) -> ControlError {
    ControlError::Invalid {
        code: "wrong_key_type",
        message: format!("a key of this type {does}, and nothing else"),
        hint: format!("keys of type {others}"),
    }
}

fn no_key(kind: KeyKind) -> ControlError {
    let wanted = match kind {
        KeyKind::Hs256 | KeyKind::Hs384 | KeyKind::Hs512 => "16 to 512 bytes",
        KeyKind::NaclAuth | KeyKind::Xaes256Gcm | KeyKind::NaclBox | KeyKind::NaclSecretBox => {
            "32 bytes"
        }
        KeyKind::Es256 => "a PKCS #8 document with its public half, as DER",
        KeyKind::NaclSign => "a seed of 32 bytes, or 64 bytes with the public half behind it",
    };
    ControlError::Invalid {
        code: "invalid_key",
        message: format!("the value is no key of type `{kind}`"),
        hint: format!("send {wanted}, as base64 or as a list of numbers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::hex_of;

    const SIGNING: [KeyKind; 6] = [
        KeyKind::Hs256,
        KeyKind::Hs384,
        KeyKind::Hs512,
        KeyKind::NaclAuth,
        KeyKind::Es256,
        KeyKind::NaclSign,
    ];

    #[test]
    fn drawn_keys_sign_and_know_their_signatures() {
        for kind in SIGNING {
            let key = Key::of(kind, &Key::draw(kind).expect("drawn")).expect("a key");
            let other = Key::of(kind, &Key::draw(kind).expect("drawn")).expect("a key");
            let signature = key.sign(b"message").expect("signed");
            let verifies = |key: &Key, message: &[u8], signature: &[u8]| {
                key.verifies(message, signature).expect("it signs")
            };
            assert!(verifies(&key, b"message", &signature), "{kind}");
            assert!(!verifies(&key, b"massage", &signature), "{kind}");
            assert!(!verifies(&other, b"message", &signature), "{kind}");
            assert!(!verifies(&key, b"message", &signature[1..]), "{kind}");
            assert!(!verifies(&key, b"message", b""), "{kind}");
            assert_eq!(key.cipher().expect_err("it signs").code(), "wrong_key_type", "{kind}");
            let has_public = matches!(kind, KeyKind::Es256 | KeyKind::NaclSign);
            assert_eq!(key.public().is_some(), has_public, "{kind}");
            assert_eq!(kind.to_string().parse::<KeyKind>().expect("its word"), kind);
        }
    }

    #[test]
    fn drawn_keys_encrypt_and_sign_nothing() {
        for kind in [KeyKind::Xaes256Gcm, KeyKind::NaclBox, KeyKind::NaclSecretBox] {
            let key = Key::of(kind, &Key::draw(kind).expect("drawn")).expect("a key");
            assert!(key.cipher().is_ok(), "{kind}");
            assert_eq!(key.sign(b"message").expect_err("it encrypts").code(), "wrong_key_type");
            assert_eq!(key.verifies(b"", b"").expect_err("it encrypts").code(), "wrong_key_type");
            assert_eq!(key.public().is_some(), kind == KeyKind::NaclBox, "{kind}");
            assert_eq!(kind.to_string().parse::<KeyKind>().expect("its word"), kind);
        }
    }

    /// RFC 4231, test case 2 with a longer key; RFC 8032, 7.1, test 1.
    #[test]
    fn signatures_are_those_of_the_standards() {
        let key = Key::of(KeyKind::Hs256, &[0x0b; 20]).expect("a key");
        assert_eq!(
            hex_of(&key.sign(b"Hi There").expect("signed")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = Key::of(KeyKind::NaclSign, &seed).expect("a key");
        assert_eq!(
            hex_of(&key.public().expect("it has one")),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert!(
            hex_of(&key.sign(b"").expect("signed")).starts_with("e5564300c360ac729086e2cc806e")
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for (_, kind) in KINDS {
            for bytes in [&b""[..], &[7; 15], &[7; 600]] {
                assert!(Key::of(kind, bytes).is_err(), "{kind} of {} bytes", bytes.len());
            }
        }
        let seed = Key::draw(KeyKind::NaclSign).expect("drawn");
        let wrong = [seed, vec![0; 32]].concat();
        assert!(Key::of(KeyKind::NaclSign, &wrong).is_err(), "another public half");
        assert_eq!("rsa".parse::<KeyKind>().expect_err("unknown").code(), "invalid_key_type");
    }

    fn hex(text: &str) -> Vec<u8> {
        let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
        (0..text.len()).step_by(2).map(pair).collect()
    }
}
