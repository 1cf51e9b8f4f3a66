//! Apps.

use crate::path::{self, encoded};
use crate::{Client, ClientError};
use api::contract::addresses::AddressAssignments;
use api::contract::app::DEFAULT_ORG;
use api::contract::host::{AppUsage, CreateDeployToken, DeployToken};
use api::contract::{App, AppCreated, AppList, CreateApp};

impl Client {
    /// Creates an app.
    ///
    /// # Errors
    /// [`ClientError`]; code `name_taken`.
    pub async fn create_app(&self, name: &str) -> Result<AppCreated, ClientError> {
        let wish = CreateApp {
            name: Some(name.to_owned()),
            org_slug: Some(DEFAULT_ORG.to_owned()),
            ..CreateApp::default()
        };
        self.post("/v1/apps", &wish).await
    }

    /// Creates an app as `wish` says.
    ///
    /// # Errors
    /// [`ClientError`]; code `name_taken`.
    pub async fn create_app_with(&self, wish: &CreateApp) -> Result<AppCreated, ClientError> {
        self.post("/v1/apps", wish).await
    }

    /// All apps the caller may see.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn apps(&self) -> Result<AppList, ClientError> {
        self.get(&format!("/v1/apps?org_slug={DEFAULT_ORG}")).await
    }

    /// One app.
    ///
    /// # Errors
    /// [`ClientError`]; code `app_not_found`.
    pub async fn app(&self, name: &str) -> Result<App, ClientError> {
        self.get(&path::app(name, "")).await
    }

    /// Makes a token that may operate an app and nothing else; its secret is in this answer only.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_deploy_token(
        &self,
        app: &str,
        wish: &CreateDeployToken,
    ) -> Result<DeployToken, ClientError> {
        self.post(&path::app(app, "/deploy_token"), wish).await
    }

    /// Addresses on which an app is reached.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn addresses(&self, app: &str) -> Result<AddressAssignments, ClientError> {
        self.get(&path::app(app, "/ip_assignments")).await
    }

    /// Metered use of an app between two moments (RFC 3339), machine by machine.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn app_usage(
        &self,
        app: &str,
        since: Option<&str>,
        until: Option<&str>,
    ) -> Result<AppUsage, ClientError> {
        let param = |name: &str, value: Option<&str>| {
            value.map(|value| format!("{name}={}&", encoded(value))).unwrap_or_default()
        };
        let query = format!("{}{}", param("since", since), param("until", until));
        self.get(&path::app(app, &format!("/usage?{query}"))).await
    }

    /// Removes an app, with its machines if `force`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_app(&self, name: &str, force: bool) -> Result<(), ClientError> {
        self.delete(&path::app(name, if force { "?force=true" } else { "" })).await
    }
}
