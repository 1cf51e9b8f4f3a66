//! Keys of apps: set or drawn, listed, and put to work.

use super::app_secrets::app_is_missing;
use super::{Answer, Control};
use crate::error::ControlError;
use crate::keys::{Key, KeyKind, SECRET_KEYS_MAX};
use crate::vault::Place;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{AppName, UnixMs};
use store::{SecretKeyRecord, Tx};

/// Longest name of a key.
const NAME_BYTES_MAX: usize = 64;

/// A key, without what is secret of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: KeyKind,
    /// Its public half, if it has one.
    pub public_key: Option<Vec<u8>>,
    /// When a key of this name was first set.
    pub created_at: UnixMs,
    /// When this one was set.
    pub updated_at: UnixMs,
}

impl Control {
    /// The keys of an app, by name, and the version of its secrets.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub fn secret_keys(&self, app: &AppName) -> Answer<(Vec<SecretKey>, u64)> {
        let found = self.inner.store.read(|reader| {
            let version = reader.secrets_version(app)?;
            Ok((reader.secret_keys(app)?, version))
        });
        let (records, version) = found.map_err(app_is_missing)?;
        let keys = records.iter().map(shown).collect::<Answer<_>>()?;
        Ok((keys, version))
    }

    /// Gives an app a key, in place of the one of this name: `value`, or one that is drawn.
    ///
    /// # Errors
    /// [`ControlError::Invalid`], [`ControlError::Unfit`], [`ControlError::NotFound`].
    pub async fn set_secret_key(
        &self,
        app: &AppName,
        name: &str,
        kind: KeyKind,
        value: Option<Vec<u8>>,
    ) -> Answer<(SecretKey, u64)> {
        expect_name(name)?;
        let value = match value {
            Some(value) => value,
            None => Key::draw(kind)?,
        };
        let public_key = Key::of(kind, &value)?.public();
        let (of, named, now) = (app.clone(), name.to_owned(), model::clock::now());
        let sealed = self.blocking(move |inner| inner.vault.seal(place(&of, &named), &value));
        let record = SecretKeyRecord {
            app: app.clone(),
            name: name.to_owned(),
            kind: kind.to_string(),
            public_key: public_key.map(|key| STANDARD.encode(key)),
            sealed: sealed.await?,
            created_at: now,
            updated_at: now,
        };
        let put = move |tx: &Tx<'_>| {
            let others = tx.secret_keys(&record.app)?;
            let n_others = others.iter().filter(|key| key.name != record.name).count();
            if n_others >= SECRET_KEYS_MAX {
                return Ok(Err(too_many()));
            }
            let version = tx.next_secrets_version(&record.app)?;
            tx.put_secret_key(&record)?;
            Ok(Ok((tx.secret_key(&record.app, &record.name)?, version)))
        };
        let put = self.inner.store.write("app.key", put).await.map_err(app_is_missing)?;
        let (stored, version) = put?;
        Ok((shown(&stored.ok_or(ControlError::NotFound { what: "secret key" })?)?, version))
    }

    /// Removes a key of an app; the version without it.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn remove_secret_key(&self, app: &AppName, name: &str) -> Answer<u64> {
        let (app, name) = (app.clone(), name.to_owned());
        let remove = move |tx: &Tx<'_>| {
            if !tx.remove_secret_key(&app, &name)? {
                return Ok(Err(ControlError::NotFound { what: "secret key" }));
            }
            tx.next_secrets_version(&app).map(Ok)
        };
        self.inner.store.write("app.key.remove", remove).await.map_err(app_is_missing)?
    }

    /// Signs with a key of an app.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Sealed`].
    pub fn sign(&self, app: &AppName, name: &str, message: &[u8]) -> Answer<Vec<u8>> {
        self.key(app, name)?.sign(message)
    }

    /// Whether a key of an app signs a message like this.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Sealed`].
    pub fn verifies(
        &self,
        app: &AppName,
        name: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Answer<bool> {
        self.key(app, name)?.verifies(message, signature)
    }

    /// Encrypts with a key of an app. `associated` is not part of the answer, and has to be the
    /// same when it is decrypted.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Sealed`], [`ControlError::Invalid`]: the key signs;
    /// [`ControlError::Unfit`]: it takes no associated data.
    pub fn encrypt(
        &self,
        app: &AppName,
        name: &str,
        plain: &[u8],
        associated: &[u8],
    ) -> Answer<Vec<u8>> {
        self.key(app, name)?.cipher()?.encrypt(plain, associated)
    }

    /// Decrypts with a key of an app; none when it has not encrypted this.
    ///
    /// # Errors
    /// As [`Control::encrypt`].
    pub fn decrypt(
        &self,
        app: &AppName,
        name: &str,
        text: &[u8],
        associated: &[u8],
    ) -> Answer<Option<Vec<u8>>> {
        self.key(app, name)?.cipher()?.decrypt(text, associated)
    }

    fn key(&self, app: &AppName, name: &str) -> Answer<Key> {
        let record = self.inner.store.read(|reader| reader.secret_key(app, name))?;
        let record = record.ok_or(ControlError::NotFound { what: "secret key" })?;
        let value = self.inner.vault.open(place(app, name), &record.sealed)?;
        Key::of(record.kind.parse()?, &value)
    }
}

/// Where an app's key of this name belongs.
fn place<'a>(app: &'a AppName, name: &'a str) -> Place<'a> {
    Place { kind: "key", app: app.as_str(), name }
}

fn shown(record: &SecretKeyRecord) -> Answer<SecretKey> {
    let public_key = record.public_key.as_ref().and_then(|text| STANDARD.decode(text).ok());
    Ok(SecretKey {
        name: record.name.clone(),
        kind: record.kind.parse()?,
        public_key,
        created_at: record.created_at,
        updated_at: record.updated_at,
    })
}

fn expect_name(name: &str) -> Answer<()> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(ControlError::Unfit {
        code: "invalid_secret_name",
        message: "Validation failed: this is no name of a key".to_owned(),
        hint: format!("use 1 to {NAME_BYTES_MAX} letters, digits, `_`, `-` or `.`"),
    })
}

fn too_many() -> ControlError {
    ControlError::Unfit {
        code: "too_many_secrets",
        message: format!("Validation failed: an app has at most {SECRET_KEYS_MAX} keys"),
        hint: "remove one first".to_owned(),
    }
}
