//! With what a caller asks for an image: credentials of the request, and whose they are.

use crate::auth::Identity;
use crate::contract::registry_auth::{REGISTRY_AUTH_HEADER, decode};
use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use control::{ImageAccess, ImageCaller};
use model::AppName;
use registry::Credentials;

/// The credentials of `X-Registry-Auth`; anonymous without it.
#[derive(Debug)]
pub(super) struct RegistryAuth(Credentials);

impl<S: Send + Sync> FromRequestParts<S> for RegistryAuth {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(REGISTRY_AUTH_HEADER) else {
            return Ok(Self(Credentials::Anonymous));
        };
        let invalid = |why: &dyn std::fmt::Display| {
            let text = format!("the header `X-Registry-Auth` cannot be read: {why}");
            Problem::invalid("invalid_registry_auth", text).hint(
                "send base64url of `{\"username\": …, \"password\": …}` or `{\"identitytoken\": …}`",
            )
        };
        let text = value.to_str().map_err(|_shows_bytes| invalid(&"it is not plain text"))?;
        decode(text).map(Self).map_err(|why| invalid(&why))
    }
}

impl RegistryAuth {
    /// As the owner of the host.
    pub(super) fn of_owner(self) -> ImageAccess {
        ImageAccess { caller: ImageCaller::Owner, credentials: self.0 }
    }

    /// As `who`, who may operate `app`.
    pub(super) fn of(self, who: &Identity, app: &AppName) -> ImageAccess {
        let caller = if who.is_owner() {
            ImageCaller::Owner
        } else {
            ImageCaller::Tenant { app: app.to_string() }
        };
        ImageAccess { caller, credentials: self.0 }
    }
}
