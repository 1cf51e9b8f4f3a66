//! The host: tokens, doctor, use.

use crate::path::{self, encoded};
use crate::{Client, ClientError};
use api::contract::index::Index;
use api::contract::platform::{FindPlacements, Placements};
use api::contract::{CreateToken, Doctor, Ok as Done, Regions, TokenCreated, TokenInfo, Usage};
use control::Proxies;

impl Client {
    /// Whether the daemon answers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn health(&self) -> Result<(), ClientError> {
        self.get::<Done>("/healthz").await.map(|_| ())
    }

    /// What works on this host and what does not.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn doctor(&self) -> Result<Doctor, ClientError> {
        self.get("/v1/doctor").await
    }

    /// Where to begin: links, first steps, all operations.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn index(&self) -> Result<Index, ClientError> {
        self.get("/").await
    }

    /// How many machines of a size there is room for.
    ///
    /// # Errors
    /// [`ClientError`]; code `invalid_guest`.
    pub async fn placements(&self, wish: &FindPlacements) -> Result<Placements, ClientError> {
        self.post("/v1/platform/placements", wish).await
    }

    /// Regions: this host.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn regions(&self) -> Result<Regions, ClientError> {
        self.get("/v1/platform/regions").await
    }

    /// What the proxies have open and under way, of one app or all.
    ///
    /// # Errors
    /// [`ClientError`]; code `no_proxy`.
    pub async fn proxy(&self, app: Option<&str>) -> Result<Proxies, ClientError> {
        match app {
            Some(app) => self.get(&format!("/v1/proxy?app={}", encoded(app))).await,
            None => self.get("/v1/proxy").await,
        }
    }

    /// Makes a token; its secret is in this answer only.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_token(&self, wish: &CreateToken) -> Result<TokenCreated, ClientError> {
        self.post("/v1/tokens", wish).await
    }

    /// Tokens of the host, without secrets.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, ClientError> {
        self.get("/v1/tokens").await
    }

    /// Withdraws a token.
    ///
    /// # Errors
    /// [`ClientError`]; code `not_found`.
    pub async fn revoke_token(&self, id: &str) -> Result<(), ClientError> {
        self.delete::<Done>(&format!("/v1/tokens/{}", encoded(id))).await.map(|_| ())
    }

    /// Metered use of the host, an app or a machine of an app.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn usage(
        &self,
        app: Option<&str>,
        machine: Option<&str>,
    ) -> Result<Usage, ClientError> {
        match (app, machine) {
            (Some(app), Some(id)) => self.get(&path::machine(app, id, "/usage")).await,
            (Some(app), None) => self.get(&format!("/v1/usage?app={}", encoded(app))).await,
            (None, _) => self.get("/v1/usage").await,
        }
    }
}
