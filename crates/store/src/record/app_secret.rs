//! Secrets of apps: sealed before they come here, and kept by version.
//!
//! Each change of an app's secrets gets the next version of all of them. A machine has the secrets of
//! one version for as long as it has its configuration, so a value that was replaced stays until no
//! machine has it any more.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, count_column};
use model::{AppName, DurationMs, UnixMs};
use std::fmt;

/// A value that was replaced is kept for at least so long: a machine that is being made may have
/// read its version already.
pub const SECRET_GRACE: DurationMs = DurationMs::from_secs(3_600);

/// What a secret is, or was.
#[derive(Clone, PartialEq, Eq)]
pub struct AppSecretRecord {
    /// The app it belongs to.
    pub app: AppName,
    /// Its name, unique within the app at each version.
    pub name: String,
    /// First version of the app's secrets that has this value.
    pub since: u64,
    /// Tells this value from others without showing it.
    pub digest: String,
    /// The value, sealed.
    pub sealed: String,
    /// When a secret of this name was first set.
    pub created_at: UnixMs,
    /// When it got this value.
    pub updated_at: UnixMs,
}

impl fmt::Debug for AppSecretRecord {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AppSecretRecord");
        shown.field("app", &self.app).field("name", &self.name).field("since", &self.since);
        shown.finish_non_exhaustive()
    }
}

impl AppSecretRecord {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            app: row.parsed("app")?,
            name: row.plain("name")?,
            since: row.count("since")?,
            digest: row.plain("digest")?,
            sealed: row.plain("sealed")?,
            created_at: row.at("created_at")?,
            updated_at: row.at("updated_at")?,
        })
    }
}

impl Reader<'_> {
    /// The version of an app's secrets; zero before the first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`], [`StoreError::NotFound`].
    pub fn secrets_version(&self, app: &AppName) -> Result<u64, StoreError> {
        let sql = "SELECT secrets_version FROM apps WHERE name = ?1";
        self.one("apps", sql, [app.as_str()], |row| row.count("secrets_version"))?
            .ok_or_else(|| StoreError::not_found("app", app))
    }

    /// The secrets that an app had at `version`, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn app_secrets(
        &self,
        app: &AppName,
        version: u64,
    ) -> Result<Vec<AppSecretRecord>, StoreError> {
        let sql = "SELECT * FROM app_secrets WHERE app = ?1 AND since <= ?2
                   AND (until IS NULL OR until > ?2) ORDER BY name";
        let params = (app.as_str(), count_column(version));
        self.all("app_secrets", sql, params, AppSecretRecord::from_row)
    }
}

impl Tx<'_> {
    /// The next version of an app's secrets, from now on the current one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn next_secrets_version(&self, app: &AppName) -> Result<u64, StoreError> {
        let next = self.secrets_version(app)? + 1;
        let sql = "UPDATE apps SET secrets_version = ?2 WHERE name = ?1";
        self.execute(sql, (app.as_str(), count_column(next)))?;
        Ok(next)
    }

    /// Sets a secret from version `secret.since` on; keeps when its name was first set.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when there is no such app.
    pub fn put_app_secret(&self, secret: &AppSecretRecord) -> Result<(), StoreError> {
        let (app, name) = (secret.app.as_str(), &secret.name);
        let sql = "SELECT created_at FROM app_secrets
                   WHERE app = ?1 AND name = ?2 AND until IS NULL";
        let first = self.one("app_secrets", sql, (app, name), |row| row.at("created_at"))?;
        self.end_app_secret(&secret.app, name, secret.since, secret.updated_at)?;
        let sql = "INSERT INTO app_secrets
                     (app, name, since, digest, sealed, created_at, updated_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let row = (
            app,
            name,
            count_column(secret.since),
            &secret.digest,
            &secret.sealed,
            at_column(first.unwrap_or(secret.created_at)),
            at_column(secret.updated_at),
        );
        self.execute(sql, row)?;
        Ok(())
    }

    /// From `version` on the app has no secret of this name; says whether it had one.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn end_app_secret(
        &self,
        app: &AppName,
        name: &str,
        version: u64,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE app_secrets SET until = ?3, ended_at = ?4
                   WHERE app = ?1 AND name = ?2 AND until IS NULL";
        let row = (app.as_str(), name, count_column(version), at_column(now));
        Ok(self.execute(sql, row)? > 0)
    }

    /// Removes values that were replaced a while ago and that no machine has; answers how many.
    pub(super) fn sweep_app_secrets(&self, now: UnixMs) -> Result<usize, StoreError> {
        let before = now.0.saturating_sub(SECRET_GRACE.0);
        let sql = "DELETE FROM app_secrets WHERE ended_at IS NOT NULL AND ended_at < ?1
                   AND NOT EXISTS (
                     SELECT 1 FROM machines m
                     JOIN versions v ON v.machine = m.id AND v.version = m.version
                     WHERE m.app = app_secrets.app AND m.state <> 'destroyed'
                     AND json_extract(v.spec, '$.secrets.version') >= app_secrets.since
                     AND json_extract(v.spec, '$.secrets.version') < app_secrets.until)";
        self.execute(sql, [at_column(UnixMs(before))])
    }
}
