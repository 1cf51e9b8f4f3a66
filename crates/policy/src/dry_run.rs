//! What a policy would say now, and when it would next say something else.

use crate::document::Effect;
use crate::policy::Policy;
use crate::reading::{Outcome, Values};
use model::UnixMs;
use serde::Serialize;
use std::sync::Arc;

/// What one rule would say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleReport {
    /// Its id.
    pub id: Arc<str>,
    /// What it does while it stands.
    pub effect: Effect,
    /// The answer of `when`.
    pub when: Outcome,
    /// The answer of `until`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Outcome>,
    /// When time alone would next change one of the two.
    pub next: Option<UnixMs>,
}

/// What every rule of `policy` would say at `now`; nothing changes.
#[must_use]
pub fn dry_run(policy: &Policy, values: &dyn Values, now: UnixMs) -> Vec<RuleReport> {
    let report = |rule: &crate::policy::Rule| {
        let (when, when_next) = rule.when.evaluate_with_next(values, now);
        let until = rule.until.as_ref().map(|until| until.evaluate_with_next(values, now));
        let (until, until_next) = until.unzip();
        RuleReport {
            id: rule.id.clone(),
            effect: rule.effect,
            when,
            until,
            next: when_next.into_iter().chain(until_next.flatten()).min(),
        }
    };
    policy.rules().iter().map(report).collect()
}
