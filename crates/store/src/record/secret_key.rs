//! Keys of apps that work here and never leave: sealed before they come here.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column};
use model::{AppName, UnixMs};
use std::fmt;

/// A key of an app.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKeyRecord {
    /// The app it belongs to.
    pub app: AppName,
    /// Its name, unique among the keys of the app.
    pub name: String,
    /// What it does, a word.
    pub kind: String,
    /// Its public half as base64, if it has one.
    pub public_key: Option<String>,
    /// The key, sealed.
    pub sealed: String,
    /// When a key of this name was first set.
    pub created_at: UnixMs,
    /// When this one was set.
    pub updated_at: UnixMs,
}

impl fmt::Debug for SecretKeyRecord {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SecretKeyRecord");
        shown.field("app", &self.app).field("name", &self.name).field("kind", &self.kind);
        shown.finish_non_exhaustive()
    }
}

impl SecretKeyRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            app: row.parsed("app")?,
            name: row.plain("name")?,
            kind: row.plain("kind")?,
            public_key: row.plain("public_key")?,
            sealed: row.plain("sealed")?,
            created_at: row.at("created_at")?,
            updated_at: row.at("updated_at")?,
        })
    }
}

impl Reader<'_> {
    /// The app's key of this name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn secret_key(
        &self,
        app: &AppName,
        name: &str,
    ) -> Result<Option<SecretKeyRecord>, StoreError> {
        let sql = "SELECT * FROM secret_keys WHERE app = ?1 AND name = ?2";
        self.one("secret_keys", sql, (app.as_str(), name), SecretKeyRecord::from_row)
    }

    /// All keys of an app, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn secret_keys(&self, app: &AppName) -> Result<Vec<SecretKeyRecord>, StoreError> {
        let sql = "SELECT * FROM secret_keys WHERE app = ?1 ORDER BY name";
        self.all("secret_keys", sql, [app.as_str()], SecretKeyRecord::from_row)
    }
}

impl Tx<'_> {
    /// Stores a key, in place of the one of this name; keeps when that was first set.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when there is no such app.
    pub fn put_secret_key(&self, key: &SecretKeyRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO secret_keys
                     (app, name, kind, public_key, sealed, created_at, updated_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (app, name) DO UPDATE SET kind = excluded.kind,
                     public_key = excluded.public_key, sealed = excluded.sealed,
                     updated_at = excluded.updated_at";
        let row = (
            key.app.as_str(),
            &key.name,
            &key.kind,
            &key.public_key,
            &key.sealed,
            at_column(key.created_at),
            at_column(key.updated_at),
        );
        self.execute(sql, row)?;
        Ok(())
    }

    /// Removes a key; says whether it was there.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_secret_key(&self, app: &AppName, name: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM secret_keys WHERE app = ?1 AND name = ?2";
        Ok(self.execute(sql, (app.as_str(), name))? > 0)
    }
}
