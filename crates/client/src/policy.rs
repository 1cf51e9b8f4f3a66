//! Policies: show, set, lint, try.

use crate::path::{self, encoded};
use crate::{Client, ClientError};
use api::contract::selfhood::{DryRun, DryRunRequest, Lint, Policy, PolicySet, Written};
use hyper::Method;
use hyper::header::IF_MATCH;

impl Client {
    /// The policy of a machine.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn policy(&self, app: &str, id: &str) -> Result<Policy, ClientError> {
        self.get(&path::selfhood(app, id, "/policy")).await
    }

    /// Sets the policy of a machine from its JSON text; only if its content has the name `hash`, and
    /// only at revision `if_match`, where these are given.
    ///
    /// # Errors
    /// [`ClientError`]; code `policy_invalid`, with all findings in the body.
    pub async fn set_policy(
        &self,
        app: &str,
        id: &str,
        text: &str,
        hash: Option<&str>,
        if_match: Option<u64>,
    ) -> Result<PolicySet, ClientError> {
        let query = hash.map(|hash| format!("?hash={}", encoded(hash))).unwrap_or_default();
        let path = path::selfhood(app, id, &format!("/policy{query}"));
        let tag = if_match.map(|revision| format!("\"{revision}\""));
        let headers: Vec<_> = tag.iter().map(|tag| (IF_MATCH, tag.as_str())).collect();
        let body = text.as_bytes().to_vec();
        self.exchanged(self.request_of(Method::PUT, &path, body, &headers)?).await
    }

    /// Takes the policy away.
    ///
    /// # Errors
    /// [`ClientError`]; codes `self_rights`, `policy_breaks_rest`.
    pub async fn remove_policy(&self, app: &str, id: &str) -> Result<Written, ClientError> {
        self.delete(&path::selfhood(app, id, "/policy")).await
    }

    /// What a careful reader would say about the text of a policy; no machine is needed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn lint_policy(&self, text: &str) -> Result<Lint, ClientError> {
        let body = text.as_bytes().to_vec();
        self.exchanged(self.request_of(Method::POST, "/v1/policy/lint", body, &[])?).await
    }

    /// What would be, if a policy were set or something written.
    ///
    /// # Errors
    /// [`ClientError`]: the refusal of the first write that would be refused.
    pub async fn dry_run(
        &self,
        app: &str,
        id: &str,
        wish: &DryRunRequest,
    ) -> Result<DryRun, ClientError> {
        self.post(&path::selfhood(app, id, "/policy/dry-run"), wish).await
    }
}
