//! Apps.

use crate::path;
use crate::{Client, ClientError};
use api::contract::app::DEFAULT_ORG;
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

    /// Removes an app, with its machines if `force`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete_app(&self, name: &str, force: bool) -> Result<(), ClientError> {
        self.delete(&path::app(name, if force { "?force=true" } else { "" })).await
    }
}
