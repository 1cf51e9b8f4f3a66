//! What would be, if a policy were set or something written.

use crate::evaluate::evaluate;
use crate::refused::WriteRefused;
use crate::selfhood::Selfhood;
use crate::values::{SelfValues, Snapshot};
use crate::verdict::Verdict;
use crate::view::View;
use crate::write::{Ground, NoRows, Write, apply};
use model::UnixMs;
use policy::{Policy, RuleReport, Writer};

/// What would be.
#[derive(Debug)]
pub struct DryRun {
    /// What would be decided; its `next` is the record that would be, its `next_at` when it would be
    /// looked at again.
    pub verdict: Verdict,
    /// What each rule would say, and when time alone would next change that.
    pub rules: Vec<RuleReport>,
}

/// What would be decided at `now` after these writes, policies among them, by `writer`. Nothing
/// changes. Messages cannot be taken or acknowledged in a dry run: it has no rows.
///
/// # Errors
/// The first write that would be refused.
pub fn dry_run(
    selfhood: &Selfhood,
    policy: &Policy,
    writes: &[Write],
    writer: &Writer,
    view: &View<'_>,
    now: UnixMs,
) -> Result<DryRun, WriteRefused> {
    let mut next = selfhood.clone();
    let mut proposed: Option<Policy> = None;
    for write in writes {
        let ground = Ground {
            selfhood: &next,
            policy: proposed.as_ref().unwrap_or(policy),
            rows: &NoRows,
            inbox_room: u64::MAX,
            now,
        };
        let applied = apply(&ground, write, writer)?;
        proposed = applied.policy.or(proposed);
        next = applied.next;
    }
    let policy = proposed.as_ref().unwrap_or(policy);
    let verdict = evaluate(&next, policy, view, now);
    let own = SelfValues { selfhood: &verdict.next, policy, now };
    let rules = policy::dry_run(policy, &Snapshot { own, view }, now);
    Ok(DryRun { verdict, rules })
}
