//! Tokens, metering.

use super::{Answer, Control};
use crate::error::ControlError;
use crate::facade::MeteredUse;
use crate::inner::chance;
use model::spec::GuestSize;
use model::{AppName, DurationMs, MachineId, UnixMs, hex_of};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use store::{StoreError, TokenRecord, TokenScope, Usage, UsageOf};

/// Start of every token, so that one is recognised wherever it is found.
const TOKEN_PREFIX: &str = "dm1_";

impl Control {
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
        self.create_token_with(None, name, scope, ttl).await
    }

    /// As [`Control::create_token`], for the holder of `parent`: what is made does not outlive it, and
    /// is withdrawn with it. That `scope` is within the parent's is the caller's business.
    ///
    /// # Errors
    /// What the store said.
    pub async fn create_token_with(
        &self,
        parent: Option<&TokenRecord>,
        name: String,
        scope: TokenScope,
        ttl: Option<DurationMs>,
    ) -> Answer<(TokenRecord, String)> {
        let secret = format!("{TOKEN_PREFIX}{}", hex_of(&chance::<32>()));
        let now = model::clock::now();
        let wished = ttl.map(|ttl| now.plus(ttl));
        let bound = parent.and_then(|parent| parent.expires_at);
        let token = TokenRecord {
            id: hex_of(&chance::<6>()),
            name,
            hash: hash_of(&secret),
            scope,
            created_at: now,
            expires_at: wished.into_iter().chain(bound).min(),
            revoked_at: None,
            parent: parent.map(|parent| parent.id.clone()),
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

    /// Metered use of an app between two moments, by machine.
    ///
    /// # Errors
    /// What the store said.
    pub fn app_metered(
        &self,
        app: &AppName,
        since: UnixMs,
        until: UnixMs,
    ) -> Answer<Vec<(MachineId, MeteredUse)>> {
        let used = self.inner.store.read(|reader| reader.usage_by_machine(app, since, until))?;
        let metered = |(machine, started_ms, cpu_us)| (machine, MeteredUse { started_ms, cpu_us });
        Ok(used.into_iter().map(metered).collect())
    }

    /// Region that this host answers for.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.inner.config.region
    }

    /// The address on which visitors of services are awaited; `None` when there is no proxy.
    #[must_use]
    pub fn door_address(&self) -> Option<IpAddr> {
        self.inner.config.door_address
    }

    /// How many machines of this size there is room for now, counted up to `most`.
    #[must_use]
    pub fn room_for_more(&self, size: GuestSize, most: u64) -> u64 {
        self.inner.capacity.n_fitting(size, most)
    }

    /// Bytes on the disk that a machine's own disk takes.
    ///
    /// # Errors
    /// [`ControlError::Disk`].
    pub fn disk_bytes(&self, id: &MachineId) -> Answer<u64> {
        Ok(self.inner.disks.usage(id)?)
    }
}

fn hash_of(secret: &str) -> String {
    hex_of(&Sha256::digest(secret.as_bytes()))
}
