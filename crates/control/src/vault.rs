//! Sealing: what is secret leaves this process only in a form that this host alone can open.
//!
//! One key of the instance, drawn when the first secret comes and kept in a file beside the store,
//! gives a key for sealing and one for digests. The store alone, a copy of it in a backup for
//! instance, tells no secret. Each sealed text is bound to its place: moved to another one it does
//! not open.

use crate::error::ControlError;
use crate::inner::chance;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use durable::Door;
use model::hex_of;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Name of the file with the instance's key, in the data directory.
pub const SECRETS_KEY_FILE: &str = "secrets.key";

/// Bytes of the instance's key.
const KEY_BYTES: usize = 32;

/// Begins every sealed text: says how it was sealed.
const SEALED_V1: &str = "v1.";

/// Hex digits of a digest: those that the Machines API shows.
const DIGEST_DIGITS: usize = 16;

const DOOR: Door = Door {
    write: "vault.write",
    before_rename: "vault.rename.before",
    after_rename: "vault.rename.after",
};

/// Seals and opens.
#[derive(Debug)]
pub(crate) struct Vault {
    path: PathBuf,
    keys: Mutex<Option<Keys>>,
}

/// What one key of an instance gives.
#[derive(Clone)]
struct Keys {
    seal: LessSafeKey,
    digest: hmac::Key,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Where a sealed text belongs: it opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// What kind of thing it is.
    pub(crate) kind: &'static str,
    /// Whose.
    pub(crate) app: &'a str,
    /// Which.
    pub(crate) name: &'a str,
}

impl Place<'_> {
    /// As bytes; none of the parts has a NUL.
    fn bytes(self) -> Vec<u8> {
        [self.kind, self.app, self.name].join("\0").into_bytes()
    }
}

impl Vault {
    /// The vault of an instance; its key is not looked at yet.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(SECRETS_KEY_FILE), keys: Mutex::default() }
    }

    /// `content`, for `place` alone. Blocking: the first one of an instance draws the key.
    pub(crate) fn seal(&self, place: Place<'_>, content: &[u8]) -> Result<String, ControlError> {
        let keys = self.keys(true)?;
        let nonce: [u8; NONCE_LEN] = chance();
        let mut text = content.to_vec();
        let aad = Aad::from(place.bytes());
        keys.seal
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
            .map_err(|_too_long| ControlError::Bug { message: "nothing that long".to_owned() })?;
        Ok(format!("{SEALED_V1}{}", STANDARD.encode([&nonce[..], &text].concat())))
    }

    /// What was sealed for `place`. Blocking at first: the key is read.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &str) -> Result<Vec<u8>, ControlError> {
        let keys = self.keys(false)?;
        let damaged = || damaged(place);
        let text = sealed.strip_prefix(SEALED_V1).ok_or_else(damaged)?;
        let mut bytes = STANDARD.decode(text).map_err(|_no_base64| damaged())?;
        let (nonce, content) = bytes.split_at_mut_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_short| damaged())?;
        let opened = keys.seal.open_in_place(nonce, Aad::from(place.bytes()), content);
        opened.map(|content| content.to_vec()).map_err(|_not_ours| damaged())
    }

    /// As [`Vault::open`], for what is text.
    pub(crate) fn open_text(&self, place: Place<'_>, sealed: &str) -> Result<String, ControlError> {
        String::from_utf8(self.open(place, sealed)?).map_err(|_no_text| damaged(place))
    }

    /// Tells one content from another without showing either; nobody else can compute it.
    pub(crate) fn digest(&self, place: Place<'_>, content: &[u8]) -> Result<String, ControlError> {
        let keys = self.keys(true)?;
        let tag = hmac::sign(&keys.digest, &[&place.bytes(), &b"\0"[..], content].concat());
        let mut digits = hex_of(tag.as_ref());
        digits.truncate(DIGEST_DIGITS);
        Ok(digits)
    }

    /// The keys; drawn if there are none and `may_draw`.
    fn keys(&self, may_draw: bool) -> Result<Keys, ControlError> {
        let mut known = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = &*known {
            return Ok(keys.clone());
        }
        let keys = keys_of(&self.read(may_draw)?)?;
        *known = Some(keys.clone());
        Ok(keys)
    }

    fn read(&self, may_draw: bool) -> Result<[u8; KEY_BYTES], ControlError> {
        let path = &self.path;
        match fs::read(path) {
            Ok(text) => key_of(&text).ok_or_else(|| unusable("it is not 32 bytes as base64")),
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_draw => {
                let key = chance();
                let text = STANDARD.encode(key);
                DOOR.replace(&path.with_extension("new"), path, text.as_bytes())
                    .map_err(|e| ControlError::host(e.action, &e.path, e.source))?;
                Ok(key)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(unusable("it is not there"))
            }
            Err(error) => Err(ControlError::host("read", path, error)),
        }
    }
}

fn key_of(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    STANDARD.decode(text.trim_ascii()).ok()?.try_into().ok()
}

/// A key for each purpose, so that what one tells helps nobody with the other.
fn keys_of(key: &[u8; KEY_BYTES]) -> Result<Keys, ControlError> {
    let master = hmac::Key::new(hmac::HMAC_SHA256, key);
    let seal = hmac::sign(&master, b"dormouse seal v1");
    let digest = hmac::sign(&master, b"dormouse digest v1");
    let seal = UnboundKey::new(&CHACHA20_POLY1305, seal.as_ref())
        .map_err(|_wrong_length| ControlError::Bug { message: "a key of 32 bytes".to_owned() })?;
    Ok(Keys {
        seal: LessSafeKey::new(seal),
        digest: hmac::Key::new(hmac::HMAC_SHA256, digest.as_ref()),
    })
}

fn unusable(why: &str) -> ControlError {
    ControlError::Sealed { message: format!("the key in `{SECRETS_KEY_FILE}` is lost: {why}") }
}

fn damaged(place: Place<'_>) -> ControlError {
    let Place { kind, app, name } = place;
    ControlError::Sealed {
        message: format!("{kind} `{name}` of app `{app}` was not sealed with this host's key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place { kind: "secret", app: "web", name: "A" };

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let vault = Vault::new(dir.path());
        let sealed = vault.seal(HERE, b"value").expect("sealed");
        assert!(!sealed.contains("value"));
        assert_ne!(sealed, vault.seal(HERE, b"value").expect("sealed"), "by chance");
        assert_eq!(vault.open(HERE, &sealed).expect("opens"), b"value");
        assert_eq!(Vault::new(dir.path()).open(HERE, &sealed).expect("opens"), b"value");
        for elsewhere in [
            Place { kind: "key", ..HERE },
            Place { app: "other", ..HERE },
            Place { name: "B", ..HERE },
        ] {
            assert!(vault.open(elsewhere, &sealed).is_err(), "{elsewhere:?}");
        }
        for damaged in ["", "v1.", "v1.AAAA", "v2.AAAA", &sealed[..sealed.len() - 8]] {
            assert!(vault.open(HERE, damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn another_key_opens_nothing_and_a_lost_one_is_not_drawn_anew() {
        let (dir, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let sealed = Vault::new(dir.path()).seal(HERE, b"value").expect("sealed");
        let stranger = Vault::new(other.path());
        assert!(stranger.open(HERE, &sealed).is_err());
        assert!(!other.path().join(SECRETS_KEY_FILE).exists());
        drop(stranger.seal(HERE, b"").expect("sealed"));
        assert!(stranger.open(HERE, &sealed).is_err());
    }

    #[test]
    fn a_digest_tells_values_apart_and_hosts_too() {
        let (dir, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let (vault, stranger) = (Vault::new(dir.path()), Vault::new(other.path()));
        let of = |vault: &Vault, value: &str| vault.digest(HERE, value.as_bytes()).expect("made");
        assert_eq!(of(&vault, "a"), of(&vault, "a"));
        assert_ne!(of(&vault, "a"), of(&vault, "b"));
        assert_ne!(of(&vault, "a"), of(&stranger, "a"));
        assert_eq!(of(&vault, "a").len(), DIGEST_DIGITS);
    }
}
