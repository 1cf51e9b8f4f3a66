//! Keys of apps that encrypt.
//!
//! A ciphertext has all that decrypting needs but the key: the nonce, drawn for each, is in front of it.

use super::{KeyKind, no_key};
use crate::error::ControlError;
use aes::Aes256;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use crypto_box::SecretKey;
use crypto_box::aead::{Aead as _, OsRng};
use crypto_secretbox::XSalsa20Poly1305;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;

/// Bytes of a key of each kind.
pub(super) const KEY_BYTES: usize = 32;

/// Bytes of a nonce of XAES-256-GCM and of XSalsa20.
const LONG_NONCE_BYTES: usize = 24;

/// What the last byte of a shifted block is changed by when a bit has left it. Source: NIST SP
/// 800-38B, 5.3.
const SHIFT_REST: u8 = 0x87;

const BLOCK_BYTES: usize = 16;
type Block = [u8; BLOCK_BYTES];

/// A key that encrypts and decrypts.
pub(crate) enum Cipher {
    /// XAES-256-GCM. Source: C2SP, XAES-256-GCM.
    Xaes(Box<Aes256>),
    /// `crypto_secretbox` of NaCl.
    SecretBox(Box<XSalsa20Poly1305>),
    /// `crypto_box_seal` of libsodium: whoever has the public half can encrypt for it.
    SealedBox(SecretKey),
}

impl fmt::Debug for Cipher {
    /// Without anything of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").finish_non_exhaustive()
    }
}

impl Cipher {
    /// # Errors
    /// [`ControlError::Invalid`]: these bytes are none, or none of this kind encrypts.
    pub(super) fn of(kind: KeyKind, bytes: &[u8]) -> Result<Self, ControlError> {
        let key: [u8; KEY_BYTES] = bytes.try_into().map_err(|_length| no_key(kind))?;
        match kind {
            KeyKind::Xaes256Gcm => Ok(Self::Xaes(Box::new(Aes256::new(&key.into())))),
            KeyKind::NaclSecretBox => {
                let key = crypto_secretbox::Key::from(key);
                Ok(Self::SecretBox(Box::new(<XSalsa20Poly1305 as crypto_secretbox::KeyInit>::new(
                    &key,
                ))))
            }
            KeyKind::NaclBox => Ok(Self::SealedBox(SecretKey::from(key))),
            _ => Err(no_key(kind)),
        }
    }

    pub(super) fn public(&self) -> Option<Vec<u8>> {
        match self {
            Self::Xaes(_) | Self::SecretBox(_) => None,
            Self::SealedBox(key) => Some(key.public_key().as_bytes().to_vec()),
        }
    }

    /// Encrypts; `associated` has to be the same when it is decrypted.
    ///
    /// # Errors
    /// [`ControlError::Unfit`]: a key of NaCl takes no associated data.
    pub(crate) fn encrypt(&self, plain: &[u8], associated: &[u8]) -> Result<Vec<u8>, ControlError> {
        self.expect_associated(associated)?;
        match self {
            Self::Xaes(key) => {
                let nonce = draw_nonce()?;
                let mut text = plain.to_vec();
                let (key, rest) = derived(key, nonce);
                key.seal_in_place_append_tag(rest, Aad::from(associated), &mut text)
                    .map_err(|_too_long| bug())?;
                Ok([&nonce[..], &text].concat())
            }
            Self::SecretBox(key) => {
                let nonce = draw_nonce()?;
                let text = key.encrypt(&nonce.into(), plain).map_err(|_too_long| bug())?;
                Ok([&nonce[..], &text].concat())
            }
            Self::SealedBox(key) => {
                key.public_key().seal(&mut OsRng, plain).map_err(|_too_long| bug())
            }
        }
    }

    /// What was encrypted, or none: another key, other associated data, or changed on the way.
    ///
    /// # Errors
    /// As [`Cipher::encrypt`].
    pub(crate) fn decrypt(
        &self,
        text: &[u8],
        associated: &[u8],
    ) -> Result<Option<Vec<u8>>, ControlError> {
        self.expect_associated(associated)?;
        if let Self::SealedBox(key) = self {
            return Ok(key.unseal(text).ok());
        }
        let Some((nonce, text)) = text.split_first_chunk::<LONG_NONCE_BYTES>() else {
            return Ok(None);
        };
        Ok(match self {
            Self::Xaes(key) => {
                let (key, rest) = derived(key, *nonce);
                let mut text = text.to_vec();
                let opened = key.open_in_place(rest, Aad::from(associated), &mut text);
                opened.ok().map(|plain| plain.to_vec())
            }
            Self::SecretBox(key) => key.decrypt(&(*nonce).into(), text).ok(),
            Self::SealedBox(_) => None,
        })
    }

    fn expect_associated(&self, associated: &[u8]) -> Result<(), ControlError> {
        if associated.is_empty() || matches!(self, Self::Xaes(_)) {
            return Ok(());
        }
        Err(ControlError::Unfit {
            code: "unsupported_associated_data",
            message: "keys of NaCl take no associated data".to_owned(),
            hint: "leave it out, or use a key of type `xaes256gcm`".to_owned(),
        })
    }
}

/// The key of AES-256-GCM that this nonce gives, and the rest of the nonce, which is its nonce.
fn derived(key: &Aes256, nonce: [u8; LONG_NONCE_BYTES]) -> (LessSafeKey, Nonce) {
    let encrypted = |block: Block| -> Block {
        let mut block = block.into();
        key.encrypt_block(&mut block);
        block.into()
    };
    let mask = shifted(encrypted([0; BLOCK_BYTES]));
    let half = |counter: u8| {
        let mut block = [0; BLOCK_BYTES];
        block[1] = counter;
        block[2] = b'X';
        block[4..].copy_from_slice(&nonce[..NONCE_LEN]);
        encrypted(std::array::from_fn(|at| block[at] ^ mask[at]))
    };
    let derived = [half(1), half(2)].concat();
    let key = UnboundKey::new(&AES_256_GCM, &derived).expect("a key of its length");
    let mut rest = [0; NONCE_LEN];
    rest.copy_from_slice(&nonce[NONCE_LEN..]);
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(rest))
}

/// Twice this in the field of 2 to the 128.
fn shifted(block: Block) -> Block {
    let number = u128::from_be_bytes(block);
    let rest = if number >> 127 == 1 { u128::from(SHIFT_REST) } else { 0 };
    ((number << 1) ^ rest).to_be_bytes()
}

fn draw_nonce() -> Result<[u8; LONG_NONCE_BYTES], ControlError> {
    let mut nonce = [0; LONG_NONCE_BYTES];
    SystemRandom::new().fill(&mut nonce).map_err(|_no_chance| bug())?;
    Ok(nonce)
}

fn bug() -> ControlError {
    ControlError::Bug { message: "nothing was encrypted".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::hex_of;

    /// C2SP, XAES-256-GCM, test vectors: sealed here with their nonce, opened by `decrypt`.
    #[test]
    fn xaes_is_that_of_the_standard() {
        let nonce = *b"ABCDEFGHIJKLMNOPQRSTUVWX";
        let cases = [
            (1, &b""[..], "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (
                3,
                b"c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ];
        for (byte, associated, expected) in cases {
            let cipher = Cipher::of(KeyKind::Xaes256Gcm, &[byte; KEY_BYTES]).expect("a key");
            let Cipher::Xaes(aes) = &cipher else { panic!("{cipher:?}") };
            let (key, rest) = derived(aes, nonce);
            let mut text = b"XAES-256-GCM".to_vec();
            key.seal_in_place_append_tag(rest, Aad::from(associated), &mut text).expect("sealed");
            assert_eq!(hex_of(&text), expected);
            let whole = [&nonce[..], &text].concat();
            let opened = cipher.decrypt(&whole, associated).expect("it takes associated data");
            assert_eq!(opened.as_deref(), Some(&b"XAES-256-GCM"[..]));
        }
    }

    #[test]
    fn only_the_key_decrypts_and_only_what_nobody_changed() {
        for kind in [KeyKind::Xaes256Gcm, KeyKind::NaclSecretBox, KeyKind::NaclBox] {
            let cipher = Cipher::of(kind, &[7; KEY_BYTES]).expect("a key");
            let other = Cipher::of(kind, &[8; KEY_BYTES]).expect("a key");
            for plain in [&b""[..], b"message"] {
                let text = cipher.encrypt(plain, b"").expect("encrypted");
                let open = |cipher: &Cipher, text: &[u8]| cipher.decrypt(text, b"").expect("tried");
                assert_eq!(open(&cipher, &text).as_deref(), Some(plain), "{kind}");
                assert_eq!(open(&other, &text), None, "{kind}");
                assert_ne!(cipher.encrypt(plain, b"").expect("encrypted"), text, "{kind}");
                for at in 0..text.len() {
                    let mut changed = text.clone();
                    changed[at] ^= 1;
                    assert_eq!(open(&cipher, &changed), None, "{kind}, byte {at}");
                    assert_eq!(open(&cipher, &text[..at]), None, "{kind}, {at} bytes");
                }
            }
            assert!(Cipher::of(kind, &[7; 31]).is_err(), "{kind}");
            let with_more = cipher.encrypt(b"message", b"more");
            assert_eq!(with_more.is_ok(), kind == KeyKind::Xaes256Gcm, "{kind}");
            if let Ok(text) = with_more {
                assert_eq!(cipher.decrypt(&text, b"less").expect("tried"), None);
            }
        }
    }
}
