//! The policy.

use super::{Draft, RowOp};
use crate::limits::ALARMS_MAX;
use crate::refused::WriteRefused;
use crate::rights::Action;
use crate::selfhood::{AlarmEntry, AlarmOrigin, PolicyRef};
use model::Digest;
use policy::{Document, Effect, Finding, Policy, Severity, Writer};

/// Sets the policy. A rule that stays as it is keeps its state, an alarm too; facts stay, whether
/// their values fit or not: one that does not is unknown until it is written again.
pub(super) fn put(
    draft: &mut Draft<'_>,
    text: &str,
    hash: Option<&Digest>,
    if_match: Option<u64>,
) -> Result<(), WriteRefused> {
    Action::Policy.check(draft.writer)?;
    draft.expect_revision(if_match)?;
    let policy =
        Policy::parse(text.as_bytes()).map_err(|findings| WriteRefused::Policy { findings })?;
    if hash.is_some_and(|hash| hash != policy.hash()) {
        return Err(WriteRefused::PolicyHash { is: policy.hash().clone() });
    }
    if draft.writer == &Writer::Platform {
        check_of_image(policy.document())?;
    }
    let old = draft.ground.policy.document();
    if draft.writer == &Writer::Machine {
        old.check_amend(policy.document()).map_err(WriteRefused::Amend)?;
    }
    check_rest(draft, &policy)?;
    if draft.next.policy.as_ref().is_some_and(|kept| kept.hash == *policy.hash()) {
        return Ok(());
    }
    keep_rules(draft, old, policy.document());
    set_alarms(draft, &policy)?;
    let hash = policy.hash().clone();
    draft.changed(&format!("policy {}", hash.hex()));
    draft.next.policy = Some(PolicyRef {
        hash: hash.clone(),
        at: draft.now(),
        by: draft.writer.clone(),
        rev: draft.rev(),
    });
    draft.ops.push(RowOp::PutPolicy { hash, text: policy.document().canonical() });
    draft.policy = Some(policy);
    draft.is_wake_relevant = true;
    Ok(())
}

/// The platform sets what an image brings along, and whoever made that may not destroy machines.
fn check_of_image(document: &Document) -> Result<(), WriteRefused> {
    let rules = document.rules.iter().enumerate();
    let retires = rules.filter(|(_, rule)| rule.effect == Effect::Retire);
    let findings: Vec<Finding> = retires
        .map(|(at, rule)| Finding {
            severity: Severity::Error,
            path: format!("rules[{at}].effect"),
            position: None,
            excerpt: None,
            message: format!(
                "the policy of an image cannot retire machines, as `{}` does",
                rule.id
            ),
            hint: Some("put the policy into `config.policy` of the machine".to_owned()),
        })
        .collect();
    if findings.is_empty() { Ok(()) } else { Err(WriteRefused::Policy { findings }) }
}

/// A machine that rests must understand what wakes it.
fn check_rest(draft: &Draft<'_>, policy: &Policy) -> Result<(), WriteRefused> {
    let Some(until) = draft.next.rest.as_ref().and_then(|rest| rest.until.clone()) else {
        return Ok(());
    };
    match policy.compile_rest_until(&until) {
        Ok(_) => Ok(()),
        Err(error) => Err(WriteRefused::BreaksRest { until, error }),
    }
}

fn keep_rules(draft: &mut Draft<'_>, old: &Document, new: &Document) {
    let is_kept = |id: &str| new.rules.iter().any(|rule| rule.id == id && old.rules.contains(rule));
    draft.next.rules.retain(|id, _| is_kept(id));
    draft.next.mutes.rules.retain(|id, _| is_kept(id));
}

fn set_alarms(draft: &mut Draft<'_>, policy: &Policy) -> Result<(), WriteRefused> {
    let now = draft.now();
    let texts = &policy.document().alarms;
    let alarms = &mut draft.next.alarms;
    alarms.retain(|name, entry| {
        entry.origin != AlarmOrigin::Policy || texts.get(name) == Some(&entry.text)
    });
    for (name, text) in texts {
        let is_kept = alarms.get(name).is_some_and(|entry| entry.origin == AlarmOrigin::Policy);
        if let Some(alarm) = policy.alarms().get(name).filter(|_| !is_kept) {
            let entry = AlarmEntry::new(text.clone(), AlarmOrigin::Policy, alarm, now);
            alarms.insert(name.clone(), entry);
        }
    }
    if alarms.len() > ALARMS_MAX {
        return Err(WriteRefused::Full { what: "alarms", max: ALARMS_MAX });
    }
    Ok(())
}
