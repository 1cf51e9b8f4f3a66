//! Secrets of apps: set, listed, and given to machines.
//!
//! Each change of an app's secrets makes the next version of all of them. A machine gets those of the
//! version that was current when it got its configuration, and keeps them until its next update.

use super::{Answer, Control};
use crate::app_secrets::{AppSecret, AppSecrets, SECRET_BYTES_MAX, SECRETS_BYTES_MAX, SECRETS_MAX};
use crate::app_secrets::{expect_file, is_secret_name, place};
use crate::error::ControlError;
use model::spec::MachineSpec;
use model::{AppName, UnixMs};
use std::collections::{BTreeMap, BTreeSet};
use store::{AppSecretRecord, StoreError, Tx};

impl Control {
    /// The secrets of an app, by name; with their values if `shows_values`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`]; [`ControlError::Sealed`] when they cannot be opened.
    pub fn app_secrets(&self, app: &AppName, shows_values: bool) -> Answer<AppSecrets> {
        let found = self.inner.store.read(|reader| {
            let version = reader.secrets_version(app)?;
            Ok((version, reader.app_secrets(app, version)?))
        });
        let (version, records) = found.map_err(app_is_missing)?;
        let shown = records.into_iter().map(|record| self.shown(record, shows_values));
        Ok(AppSecrets { version, secrets: shown.collect::<Answer<_>>()? })
    }

    fn shown(&self, record: AppSecretRecord, shows_value: bool) -> Answer<AppSecret> {
        let value = match shows_value {
            true => {
                Some(self.inner.vault.open_text(place(&record.app, &record.name), &record.sealed)?)
            }
            false => None,
        };
        let AppSecretRecord { name, digest, created_at, updated_at, .. } = record;
        Ok(AppSecret { name, digest, value, created_at, updated_at })
    }

    /// Sets secrets of an app, and removes those without a value; the version that has all of it.
    ///
    /// # Errors
    /// [`ControlError::Unfit`] for names and values that cannot be, [`ControlError::NotFound`].
    pub async fn set_app_secrets(
        &self,
        app: &AppName,
        changes: BTreeMap<String, Option<String>>,
    ) -> Answer<u64> {
        changes.iter().try_for_each(|(name, value)| expect_secret(name, value.as_deref()))?;
        if changes.is_empty() {
            return self.inner.store.read(|r| r.secrets_version(app)).map_err(app_is_missing);
        }
        let of = app.clone();
        let sealed = self.blocking(move |inner| {
            let seal = |(name, value): (String, Option<String>)| {
                let value = value.map(|value| {
                    let (place, content) = (place(&of, &name), value.as_bytes());
                    let vault = &inner.vault;
                    Ok::<_, ControlError>((
                        vault.digest(place, content)?,
                        vault.seal(place, content)?,
                    ))
                });
                Ok((name, value.transpose()?))
            };
            changes.into_iter().map(seal).collect::<Answer<Vec<(String, Option<Sealed>)>>>()
        });
        let (sealed, app, now) = (sealed.await?, app.clone(), model::clock::now());
        let put = move |tx: &Tx<'_>| put(tx, &app, &sealed, now);
        self.inner.store.write("app.secrets", put).await.map_err(app_is_missing)?
    }

    /// Removes a secret of an app; the version without it.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn remove_app_secret(&self, app: &AppName, name: &str) -> Answer<u64> {
        let (app, name, now) = (app.clone(), name.to_owned(), model::clock::now());
        let remove = move |tx: &Tx<'_>| {
            let version = tx.secrets_version(&app)?;
            if !tx.app_secrets(&app, version)?.iter().any(|secret| secret.name == name) {
                return Ok(Err(ControlError::NotFound { what: "secret" }));
            }
            let version = tx.next_secrets_version(&app)?;
            tx.end_app_secret(&app, &name, version, now).map(|_| Ok(version))
        };
        self.inner.store.write("app.secret.remove", remove).await.map_err(app_is_missing)?
    }

    /// Gives a machine that is about to get this configuration the present version of its app's
    /// secrets, which must be at least `least`, and have what the configuration names.
    pub(super) fn give_secrets(
        &self,
        app: &AppName,
        least: Option<u64>,
        spec: &mut MachineSpec,
    ) -> Answer<()> {
        let version = self.inner.store.read(|r| r.secrets_version(app)).map_err(app_is_missing)?;
        if least.is_some_and(|least| version < least) {
            return Err(too_early(version));
        }
        spec.secrets.version = version;
        let named: BTreeSet<&str> = spec.named_secrets().collect();
        if named.is_empty() {
            return Ok(());
        }
        let there = self.inner.store.read(|r| r.app_secrets(app, version))?;
        let missing = named.iter().find(|name| !there.iter().any(|secret| secret.name == **name));
        if let Some(name) = missing {
            return Err(ControlError::Unfit {
                code: "secret_missing",
                message: format!("app {app} has no secret `{name}`"),
                hint: "set it first: `POST /v1/apps/{app}/secrets`".to_owned(),
            });
        }
        for name in spec.files.iter().filter_map(|file| file.secret.as_deref()) {
            let sealed = there.iter().find(|secret| secret.name == name);
            if let Some(secret) = sealed {
                expect_file(name, &self.inner.vault.open_text(place(app, name), &secret.sealed)?)?;
            }
        }
        Ok(())
    }
}

/// Digest and sealed value.
type Sealed = (String, String);

fn put(
    tx: &Tx<'_>,
    app: &AppName,
    changes: &[(String, Option<Sealed>)],
    now: UnixMs,
) -> Result<Answer<u64>, StoreError> {
    let mut sizes: BTreeMap<String, usize> = tx
        .app_secrets(app, tx.secrets_version(app)?)?
        .into_iter()
        .map(|secret| (secret.name, secret.sealed.len()))
        .collect();
    for (name, sealed) in changes {
        match sealed {
            Some((_, sealed)) => drop(sizes.insert(name.clone(), sealed.len())),
            None => drop(sizes.remove(name)),
        }
    }
    if sizes.len() > SECRETS_MAX || sizes.values().sum::<usize>() > SECRETS_BYTES_MAX {
        return Ok(Err(too_many()));
    }
    let since = tx.next_secrets_version(app)?;
    for (name, sealed) in changes {
        match sealed {
            Some((digest, sealed)) => tx.put_app_secret(&AppSecretRecord {
                app: app.clone(),
                name: name.clone(),
                since,
                digest: digest.clone(),
                sealed: sealed.clone(),
                created_at: now,
                updated_at: now,
            })?,
            None => drop(tx.end_app_secret(app, name, since, now)?),
        }
    }
    Ok(Ok(since))
}

fn expect_secret(name: &str, value: Option<&str>) -> Answer<()> {
    if !is_secret_name(name) {
        return Err(ControlError::Unfit {
            code: "invalid_secret_name",
            message: "Validation failed: this is no name of a secret".to_owned(),
            hint: "use 1 to 128 letters, digits or `_`, not beginning with a digit".to_owned(),
        });
    }
    let value = value.unwrap_or_default();
    if value.len() > SECRET_BYTES_MAX || value.contains('\0') {
        return Err(ControlError::Unfit {
            code: "invalid_secret_value",
            message: format!("Validation failed: the value of `{name}` cannot be a secret"),
            hint: format!("a value is text of at most {SECRET_BYTES_MAX} bytes, without NUL"),
        });
    }
    Ok(())
}

fn too_early(version: u64) -> ControlError {
    ControlError::Precondition {
        code: "stale_secrets",
        message: format!("the app's secrets are at version {version}"),
        hint: "`min_secrets_version` is the version that setting a secret has answered",
    }
}

fn too_many() -> ControlError {
    ControlError::Unfit {
        code: "too_many_secrets",
        message: "Validation failed: that is more than the secrets of an app may be".to_owned(),
        hint: format!(
            "an app has at most {SECRETS_MAX} secrets, sealed at most {SECRETS_BYTES_MAX} bytes"
        ),
    }
}

pub(super) fn app_is_missing(error: StoreError) -> ControlError {
    match error {
        StoreError::NotFound { kind: "app", .. } => ControlError::NotFound { what: "app" },
        error => error.into(),
    }
}
