//! Hooks: paths under which the outside posts to a machine's inbox.

use super::selfhood::{Moment, Span};
use control::SignatureScheme;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Body of `PUT /v1/apps/{app}/hooks/{name}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PutHook {
    /// Id or name of the machine whose inbox it fills.
    #[serde(default)]
    pub machine: String,
    /// Its messages wake the machine by themselves; they do unless this is `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<bool>,
    /// What posts must be signed with. Left out, a hook of this name keeps its own, and a new one
    /// takes everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<HookSecret>,
    /// How they are signed. Left out, a hook of this name keeps its own, and a new one has
    /// `standard-webhooks`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<HookSignature>,
}

/// A secret, or the wish for one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HookSecret {
    /// This one.
    Given(String),
    /// `{"generate": true}`: one that is drawn, and shown in the answer only.
    Draw {
        /// True.
        generate: bool,
    },
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given(_) => "Given(…)",
            Self::Draw { .. } => "Draw",
        })
    }
}

/// How posts are signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookSignature {
    /// `hmac-sha256-hex`, `hmac-sha256-base64`, `standard-webhooks` or `github`.
    #[schemars(with = "String")]
    pub scheme: SignatureScheme,
    /// Header with the signature, for the two `hmac-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// What stands before it there, for these two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How far the moment in a post may be from now, for `standard-webhooks`; 5 minutes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Span>,
}

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// The app it belongs to.
    pub app: String,
    /// Id of the machine whose inbox it fills.
    pub machine: String,
    /// Its messages wake the machine by themselves.
    pub wake: bool,
    /// Path to post to, without a token.
    pub path: String,
    /// How posts must be signed; absent when everything is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<HookSignature>,
    /// When it was made, in Unix milliseconds.
    pub created_at: u64,
    /// The secret, once: in the answer to the call that had it drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Secrets that were replaced, and still count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_secrets: Vec<OldSecret>,
}

/// Body of `POST /v1/apps/{app}/hooks/{name}/rotate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RotateHook {
    /// The new secret. Left out, one is drawn, and shown in the answer only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<HookSecret>,
    /// For how long the one before still counts; a day when it is left out, `0s` ends it at once, and
    /// all before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Span>,
}

/// Body of `POST /v1/apps/{app}/signing-secret/rotate`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RotateSigningSecret {
    /// For how long the one before signs too; a day when it is left out, `0s` ends it at once, and all
    /// before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<Span>,
}

/// A secret that was replaced, and still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OldSecret {
    /// When it counts no more.
    pub until: Moment,
}

/// Answer to a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookPosted {
    /// Number of the message in the inbox.
    pub seq: u64,
    /// Whether it was not there before.
    pub new: bool,
}

/// Answer to `GET /v1/apps/{app}/signing-secret` and to `POST …/rotate`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SigningSecret {
    /// What notifications of the app are signed with, by Standard Webhooks.
    pub secret: String,
    /// Secrets that were replaced, and sign beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_secrets: Vec<OldSecret>,
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningSecret")
            .field("old_secrets", &self.old_secrets)
            .finish_non_exhaustive()
    }
}
