//! Access tokens: only their hashes are stored.

use crate::error::StoreError;
use crate::row::{Fields, Reader, Tx, at_column, json_text};
use model::{AppName, MachineId, UnixMs};
use serde::{Deserialize, Serialize};

/// A token, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id.
    pub id: String,
    /// Its name, for people and logs.
    pub name: String,
    /// SHA-256 of its text, in lower-case hex.
    pub hash: String,
    /// What it allows.
    pub scope: TokenScope,
    /// When it was created.
    pub created_at: UnixMs,
    /// From when on it is void.
    pub expires_at: Option<UnixMs>,
    /// Since when it has been withdrawn.
    pub revoked_at: Option<UnixMs>,
    /// Id of the token with which it was made; `None` when the owner made it.
    pub parent: Option<String>,
}

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenScope {
    /// On what.
    pub reach: TokenReach,
    /// To do what.
    pub right: TokenRight,
}

/// What a token reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenReach {
    /// Everything on this host.
    All,
    /// One app and its machines.
    App(AppName),
    /// One machine.
    Machine(MachineId),
}

/// What a token lets its holder do. None of them contains another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenRight {
    /// Look.
    Read,
    /// Look and change.
    Operate,
    /// What a machine may do to itself.
    SelfWrite,
}

impl TokenRecord {
    /// Whether it may be used at `now`.
    #[must_use]
    pub fn is_valid_at(&self, now: UnixMs) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    fn from_row(row: &Fields<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.plain("id")?,
            name: row.plain("name")?,
            hash: row.plain("hash")?,
            scope: row.json("scope")?,
            created_at: row.at("created_at")?,
            expires_at: row.at_opt("expires_at")?,
            revoked_at: row.at_opt("revoked_at")?,
            parent: row.plain("parent")?,
        })
    }
}

impl Reader<'_> {
    /// The token whose text has this hash, valid or not: ask [`TokenRecord::is_valid_at`].
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn token_by_hash(&self, hash: &str) -> Result<Option<TokenRecord>, StoreError> {
        let sql = "SELECT * FROM tokens WHERE hash = ?1";
        self.one("tokens", sql, [hash], TokenRecord::from_row)
    }

    /// All tokens that are kept, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Corrupt`].
    pub fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let sql = "SELECT * FROM tokens ORDER BY created_at, id";
        self.all("tokens", sql, [], TokenRecord::from_row)
    }
}

impl Tx<'_> {
    /// Adds a token; one that was made with another is void from the beginning if that is withdrawn.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when the id or the hash is taken.
    pub fn insert_token(&self, token: &TokenRecord) -> Result<(), StoreError> {
        let sql = "INSERT INTO tokens
                     (id, name, hash, scope, created_at, expires_at, revoked_at, parent)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6,
                     ifnull(?7, (SELECT revoked_at FROM tokens WHERE id = ?8)), ?8)";
        let row = (
            &token.id,
            &token.name,
            &token.hash,
            json_text(&token.scope)?,
            at_column(token.created_at),
            token.expires_at.map(at_column),
            token.revoked_at.map(at_column),
            &token.parent,
        );
        self.execute(sql, row)?;
        Ok(())
    }

    /// Withdraws a token with all that were made with it; twice is once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn revoke_token(&self, id: &str, at: UnixMs) -> Result<(), StoreError> {
        let sql = "UPDATE tokens SET revoked_at = ifnull(revoked_at, ?2) WHERE id IN (
                     WITH RECURSIVE made (id) AS (
                       SELECT id FROM tokens WHERE id = ?1
                       UNION SELECT tokens.id FROM tokens JOIN made ON tokens.parent = made.id)
                     SELECT id FROM made)";
        match self.execute(sql, (id, at_column(at)))? {
            0 => Err(StoreError::not_found("token", id)),
            _ => Ok(()),
        }
    }
}
