//! Images, tokens, metering.

use super::{Answer, Control};
use crate::error::ControlError;
use crate::facade::MeteredUse;
use crate::inner::chance;
use image::ImportSource;
use model::{AppName, Digest, DurationMs, MachineId, UnixMs, hex_of};
use sha2::{Digest as _, Sha256};
use std::path::PathBuf;
use store::{ImageRecord, StoreError, TokenRecord, TokenScope, Usage, UsageOf};

/// Start of every token, so that one is recognised wherever it is found.
const TOKEN_PREFIX: &str = "dm1_";

impl Control {
    /// Brings an image file (or a directory with an OCI layout) into the store under a name.
    ///
    /// # Errors
    /// [`ControlError::Image`].
    pub async fn import_image(&self, source: PathBuf, name: String) -> Answer<ImageRecord> {
        let origin = source.display().to_string();
        let imported = self
            .blocking(move |inner| {
                Ok(inner.images.import(ImportSource::Path(source), &name, &())?)
            })
            .await?;
        let now = model::clock::now();
        let record = ImageRecord {
            image: imported.image_ref,
            config: imported.config,
            size_bytes: imported.size_bytes,
            created_at: now,
            last_used_at: now,
            source: origin,
        };
        let stored = record.clone();
        self.inner
            .store
            .write("image.import", move |tx| {
                tx.put_image(&stored)?;
                tx.put_tag(&stored.image)
            })
            .await?;
        Ok(record)
    }

    /// All images, oldest first.
    ///
    /// # Errors
    /// What the store said.
    pub fn images(&self) -> Answer<Vec<ImageRecord>> {
        Ok(self.inner.store.read(|reader| reader.images())?)
    }

    /// Removes an image that no machine uses.
    ///
    /// # Errors
    /// [`ControlError::Precondition`] when a machine uses it, [`ControlError::NotFound`].
    pub async fn remove_image(&self, digest: &Digest) -> Answer<()> {
        let target = digest.clone();
        let removed =
            self.inner.store.write("image.remove", move |tx| tx.delete_image(&target)).await;
        match removed {
            Ok(()) => {}
            Err(StoreError::Referenced { referrers, .. }) => {
                return Err(ControlError::Precondition {
                    code: "image_in_use",
                    message: format!("{referrers} machines use image {digest}"),
                    hint: "destroy them first",
                });
            }
            Err(StoreError::NotFound { .. }) => {
                return Err(ControlError::NotFound { what: "image" });
            }
            Err(error) => return Err(error.into()),
        }
        let digest = digest.clone();
        self.blocking(move |inner| Ok(inner.images.remove(&digest)?)).await
    }

    /// The stored image that a reference names: a digest, or `repository[:tag]` of an import.
    pub(super) fn find_image(&self, reference: &str) -> Answer<Option<ImageRecord>> {
        let by_digest = reference.rsplit_once('@').map_or(reference, |(_, digest)| digest);
        Ok(self.inner.store.read(|reader| {
            if let Ok(digest) = by_digest.parse::<Digest>() {
                return reader.image(&digest);
            }
            let (repository, tag) = split_tag(reference);
            match reader.tagged_digest("local", repository, tag)? {
                Some(digest) => reader.image(&digest),
                None => Ok(None),
            }
        })?)
    }

    /// Makes a token; its secret is returned once and never stored.
    ///
    /// # Errors
    /// What the store said.
    pub async fn create_token(
        &self,
        name: String,
        scope: TokenScope,
        ttl: Option<DurationMs>,
    ) -> Answer<(TokenRecord, String)> {
        let secret = format!("{TOKEN_PREFIX}{}", hex_of(&chance::<32>()));
        let now = model::clock::now();
        let token = TokenRecord {
            id: hex_of(&chance::<6>()),
            name,
            hash: hash_of(&secret),
            scope,
            created_at: now,
            expires_at: ttl.map(|ttl| now.plus(ttl)),
            revoked_at: None,
        };
        let stored = token.clone();
        self.inner.store.write("token.create", move |tx| tx.insert_token(&stored)).await?;
        Ok((token, secret))
    }

    /// All tokens.
    ///
    /// # Errors
    /// What the store said.
    pub fn tokens(&self) -> Answer<Vec<TokenRecord>> {
        Ok(self.inner.store.read(|reader| reader.tokens())?)
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn revoke_token(&self, id: &str) -> Answer<()> {
        let (id, now) = (id.to_owned(), model::clock::now());
        match self.inner.store.write("token.revoke", move |tx| tx.revoke_token(&id, now)).await {
            Err(StoreError::NotFound { .. }) => Err(ControlError::NotFound { what: "token" }),
            other => Ok(other?),
        }
    }

    /// The live token with this secret.
    ///
    /// # Errors
    /// What the store said.
    pub fn authenticate(&self, secret: &str) -> Answer<Option<TokenRecord>> {
        let hash = hash_of(secret);
        let found = self.inner.store.read(|reader| reader.token_by_hash(&hash))?;
        Ok(found.filter(|token| token.is_valid_at(model::clock::now())))
    }

    /// Metered use of a machine, an app, or the whole host.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown app or machine.
    pub fn metered(
        &self,
        app: Option<&AppName>,
        machine: Option<&MachineId>,
    ) -> Answer<MeteredUse> {
        let (since, until) = (UnixMs(0), model::clock::now());
        let used: Vec<Usage> = self.inner.store.read(|reader| match (app, machine) {
            (_, Some(machine)) => reader.usage(UsageOf::Machine(machine), since, until),
            (Some(app), None) => reader.usage(UsageOf::App(app), since, until),
            (None, None) => {
                let mut all = Vec::new();
                for app in reader.apps()? {
                    all.extend(reader.usage(UsageOf::App(&app.name), since, until)?);
                }
                Ok(all)
            }
        })?;
        Ok(used.iter().fold(MeteredUse::default(), |sum, usage| MeteredUse {
            started_ms: sum.started_ms + usage.started_ms,
            cpu_us: sum.cpu_us + usage.cpu_us,
        }))
    }

    /// Machines that use an image.
    ///
    /// # Errors
    /// What the store said.
    pub fn machines_of_image(&self, digest: &Digest) -> Answer<Vec<MachineId>> {
        Ok(self.inner.store.read(|reader| reader.machines_of_image(digest))?)
    }

    /// Bytes on the disk that a machine's own disk takes.
    ///
    /// # Errors
    /// [`ControlError::Disk`].
    pub fn disk_bytes(&self, id: &MachineId) -> Answer<u64> {
        Ok(self.inner.disks.usage(id)?)
    }
}

/// Repository and tag of a reference; `latest` when it names none.
fn split_tag(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, "latest"),
    }
}

fn hash_of(secret: &str) -> String {
    hex_of(&Sha256::digest(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_splits_at_its_tag_not_at_a_port() {
        assert_eq!(split_tag("debian:12"), ("debian", "12"));
        assert_eq!(split_tag("debian"), ("debian", "latest"));
        assert_eq!(split_tag("localhost:5000/debian"), ("localhost:5000/debian", "latest"));
    }
}
