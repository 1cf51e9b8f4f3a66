//! Policies: shown, set, linted.

use super::on::{Pen, record, shown};
use super::show;
use super::text::RawBody;
use crate::contract::selfhood::{Finding, Lint, Policy, PolicySet};
use crate::problem::Problem;
use crate::v1::extract::{Caller, Read};
use crate::v1::query::Params;
use crate::v1::{Answer, reply};
use ::policy::{Document, Severity};
use axum::extract::State;
use control::Control;
use govern::Write;
use model::Digest;
use tokio::sync::Semaphore;

/// Lints at once: each may take 0.2 s of a CPU, and anybody may ask for one.
static LINTS: Semaphore = Semaphore::const_new(1);

/// The text that is no policy.
const NONE: &str = "{}";

/// `GET self/policy`.
pub(super) async fn show(State(control): State<Control>, Read(on): Read) -> Answer {
    let record = record(&control, &on)?;
    let named = record.selfhood.policy.as_ref().map(show::policy_named);
    let document = record.policy_text.map(|text| serde_json::from_str(&text));
    let document = document.transpose().map_err(|error| {
        Problem::internal(format!("internal: the stored policy cannot be read: {error}"))
    })?;
    let revision = record.selfhood.revision;
    let policy = document.unwrap_or_default();
    let shown_policy = match named {
        None => Policy { revision, policy, ..Policy::default() },
        Some(named) => Policy {
            revision,
            hash: Some(named.hash),
            at: Some(named.at),
            by: Some(named.by),
            rev: Some(named.rev),
            policy,
        },
    };
    shown(revision, &shown_policy)
}

/// `PUT self/policy?hash=`: the document itself.
pub(super) async fn set(
    State(control): State<Control>,
    pen: Pen,
    params: Params,
    body: RawBody,
) -> Answer {
    let hash = params.parsed::<Digest>("hash")?;
    let text = body.into_text()?;
    let revision = pen.write(&control, Write::Policy { text: text.clone(), hash, if_match: None });
    let revision = revision.await?.revision;
    let Lint { hash, findings, .. } = linted(text).await?;
    shown(revision, &PolicySet { revision, hash: hash.unwrap_or_default(), findings })
}

/// `DELETE self/policy`.
pub(super) async fn remove(State(control): State<Control>, pen: Pen) -> Answer {
    let write = Write::Policy { text: NONE.to_owned(), hash: None, if_match: None };
    pen.written(&control, write).await
}

/// `POST self/policy/lint`: for whoever may look at the machine.
pub(super) async fn lint(_on: Read, body: RawBody) -> Answer {
    reply::ok(&linted(body.into_text()?).await?)
}

/// `POST /v1/policy/lint`: no machine is needed.
pub(in crate::v1) async fn lint_anywhere(_who: Caller, body: RawBody) -> Answer {
    reply::ok(&linted(body.into_text()?).await?)
}

/// What a careful reader says, on a thread that may take its time.
async fn linted(text: String) -> Result<Lint, Problem> {
    let turn = LINTS.acquire().await.expect("nobody closes it");
    let lint = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        lint_of(&text)
    });
    lint.await.map_err(|_panic| Problem::internal("internal: the lint failed"))
}

fn lint_of(text: &str) -> Lint {
    let findings = ::policy::lint_text(text.as_bytes());
    let ok = findings.iter().all(|finding| finding.severity != Severity::Error);
    let document = Document::parse(text.as_bytes()).ok().filter(|_| ok);
    Lint {
        ok,
        hash: document.map(|document| document.hash().to_string()),
        findings: findings.iter().map(Finding::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::lint_of;

    #[test]
    fn a_lint_names_place_and_remedy() {
        let lint = lint_of(r#"{"rules":[{"id":"a","effect":"wake","when":"inbox.deth > 0"}]}"#);
        assert!(!lint.ok && lint.hash.is_none());
        let finding = &lint.findings[0];
        assert_eq!((finding.severity.as_str(), finding.path.as_str()), ("error", "rules[0].when"));
        assert_eq!((finding.line, finding.column), (Some(1), Some(1)));
        assert!(finding.hint.is_some() && finding.excerpt.is_some());
    }

    #[test]
    fn a_policy_without_errors_has_a_name() {
        let lint = lint_of(r#"{"rules":[{"id":"a","effect":"wake","when":"inbox.depth > 0"}]}"#);
        assert!(lint.ok, "{lint:?}");
        assert!(lint.hash.is_some_and(|hash| hash.starts_with("sha256:")));
        assert_eq!(lint.findings[0].severity, "warning", "nothing puts it to rest");
    }
}
