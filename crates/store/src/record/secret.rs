//! Secrets that were replaced and still count, until whoever holds them has changed over.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column};
use model::{AppName, UnixMs};
use std::fmt;

/// A secret that was replaced.
#[derive(Clone, PartialEq, Eq)]
pub struct OldSecret {
    /// The secret.
    pub secret: String,
    /// When it counts no more.
    pub until: UnixMs,
}

impl fmt::Debug for OldSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OldSecret").field("until", &self.until).finish_non_exhaustive()
    }
}

impl OldSecret {
    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self { secret: row.plain("secret")?, until: row.at("until")? })
    }
}

impl Reader<'_> {
    /// Signing secrets that the app had before, the one that counts for longest first; also those
    /// that count no more and are not swept yet.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn old_signing_secrets(&self, app: &AppName) -> Result<Vec<OldSecret>, StoreError> {
        let sql = "SELECT * FROM old_signing_secrets WHERE app = ?1 ORDER BY until DESC, secret";
        self.all("old_signing_secrets", sql, [app.as_str()], OldSecret::from_row)
    }

    /// Secrets that the hook had before, as [`Reader::old_signing_secrets`].
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn old_hook_secrets(
        &self,
        app: &AppName,
        hook: &str,
    ) -> Result<Vec<OldSecret>, StoreError> {
        let sql = "SELECT * FROM old_hook_secrets WHERE app = ?1 AND hook = ?2
                   ORDER BY until DESC, secret";
        self.all("old_hook_secrets", sql, (app.as_str(), hook), OldSecret::from_row)
    }
}

impl Tx<'_> {
    /// Gives the app another signing secret; of those before only `old` are left.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Taken`] when two of `old` are the same.
    pub fn replace_signing_secret(
        &self,
        app: &AppName,
        secret: &str,
        old: &[OldSecret],
    ) -> Result<(), StoreError> {
        let sql = "UPDATE apps SET signing_secret = ?2 WHERE name = ?1";
        if self.execute(sql, (app.as_str(), secret))? == 0 {
            return Err(StoreError::not_found("app", app));
        }
        self.execute("DELETE FROM old_signing_secrets WHERE app = ?1", [app.as_str()])?;
        let sql = "INSERT INTO old_signing_secrets (app, secret, until) VALUES (?1, ?2, ?3)";
        for OldSecret { secret, until } in old {
            self.execute(sql, (app.as_str(), secret, at_column(*until)))?;
        }
        Ok(())
    }

    /// Of the secrets that the hook had before only `old` are left.
    ///
    /// # Errors
    /// [`StoreError::Database`], also when there is no such hook; [`StoreError::Taken`] when two
    /// are the same.
    pub fn replace_old_hook_secrets(
        &self,
        app: &AppName,
        hook: &str,
        old: &[OldSecret],
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM old_hook_secrets WHERE app = ?1 AND hook = ?2";
        self.execute(sql, (app.as_str(), hook))?;
        let sql = "INSERT INTO old_hook_secrets (app, hook, secret, until) VALUES (?1, ?2, ?3, ?4)";
        for OldSecret { secret, until } in old {
            self.execute(sql, (app.as_str(), hook, secret, at_column(*until)))?;
        }
        Ok(())
    }

    /// Removes secrets that count no more at `now`; answers how many.
    pub(super) fn sweep_old_secrets(&self, now: UnixMs) -> Result<usize, StoreError> {
        let now = [at_column(now)];
        let n_signing = self.execute("DELETE FROM old_signing_secrets WHERE until <= ?1", now)?;
        let n_of_hooks = self.execute("DELETE FROM old_hook_secrets WHERE until <= ?1", now)?;
        Ok(n_signing + n_of_hooks)
    }
}
