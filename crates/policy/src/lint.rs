//! What a careful reader would say about a policy.
//!
//! Errors are those of [`Policy::compile`]. Beyond them the lint tries the rules: it collects the
//! constants that a name is compared with, takes a value from every stretch between them, and
//! evaluates all combinations. Where a condition only compares names with constants, that is a
//! proof; everywhere else the lint is silent.
//!
//! * `trial`: the combinations.

mod trial;

use crate::document::{Document, Effect};
use crate::finding::{Finding, Severity};
use crate::names::Name;
use crate::policy::{Policy, Rule, unreadable};
use crate::text::did_you_mean;
use trial::{Budget, Trial, Verdict};

/// Everything there is to say about the text of a policy, worst first.
///
/// A policy without a finding of [`Severity::Error`] can be set.
#[must_use]
pub fn lint_text(text: &[u8]) -> Vec<Finding> {
    match Document::parse(text) {
        Ok(document) => lint(&document),
        Err(error) => vec![unreadable(error)],
    }
}

/// Everything there is to say about a policy, worst first.
#[must_use]
pub fn lint(document: &Document) -> Vec<Finding> {
    let mut findings = match Policy::compile(document.clone()) {
        Ok(policy) => lint_policy(&policy),
        Err(findings) => findings,
    };
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn lint_policy(policy: &Policy) -> Vec<Finding> {
    let mut budget = Budget::default();
    let mut findings: Vec<_> = no_way_back(policy).into_iter().collect();
    for (at, rule) in policy.rules().iter().enumerate() {
        findings.extend(alarms_unknown(policy, at, rule));
        findings.extend(never_or_always(policy, at, rule, &mut budget));
    }
    findings.extend(fights(policy, &mut budget));
    findings.extend(shadows(policy, &mut budget));
    if budget.is_spent() {
        let message = "the policy is too large to try all its rules against each other";
        findings.push(Finding::new(Severity::Note, String::new(), message));
    }
    findings
}

fn warning(at: usize, field: &str, message: impl Into<String>) -> Finding {
    Finding::new(Severity::Warning, format!("rules[{at}].{field}"), message)
}

/// Something wakes the machine and nothing puts it to rest.
fn no_way_back(policy: &Policy) -> Option<Finding> {
    let is = |rule: &&Rule, effects: &[Effect]| effects.contains(&rule.effect);
    let wakes = policy.rules().iter().position(|rule| rule.effect == Effect::Wake)?;
    let rests = policy.rules().iter().find(|rule| is(rule, &[Effect::Rest, Effect::Retire]));
    if rests.is_some() {
        return None;
    }
    let finding = warning(wakes, "effect", "nothing here puts the machine back to rest");
    Some(finding.hint(
        "add a `rest` rule, such as `machine.idle_s > 300`, unless the program stops by itself",
    ))
}

fn alarms_unknown(policy: &Policy, at: usize, rule: &Rule) -> Vec<Finding> {
    let fields = [("when", Some(&rule.when)), ("until", rule.until.as_ref())];
    let conditions = fields.into_iter().filter_map(|(field, c)| Some((field, c?)));
    let dues = conditions.flat_map(|(field, condition)| {
        condition.names().filter_map(move |name| match name {
            Name::Due(alarm) => Some((field, alarm)),
            _ => None,
        })
    });
    let alarms = policy.alarms();
    dues.filter(|(_, alarm)| !alarms.contains_key(&***alarm))
        .map(|(field, alarm)| {
            let message = format!("this policy declares no alarm `{alarm}`");
            let hint = did_you_mean(alarm, alarms.keys().map(String::as_str));
            warning(at, field, message)
                .hint(hint.unwrap_or_else(|| "it must be set through `self/alarms`".to_owned()))
        })
        .collect()
}

fn never_or_always(policy: &Policy, at: usize, rule: &Rule, budget: &mut Budget) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut verdict = |condition| Trial::of(policy, &[condition]).verdict(budget);
    match verdict(&rule.when) {
        Verdict::Never => findings.push(warning(at, "when", "this can never be true")),
        Verdict::NeverKnown => findings.push(warning(at, "when", "this is always unknown")),
        Verdict::Always => findings.extend(always(at, rule)),
        Verdict::Varies | Verdict::Unclear => {}
    }
    let until = rule.until.as_ref().map(verdict);
    if matches!(until, Some(Verdict::Never | Verdict::NeverKnown)) {
        let message = "this can never be true, so the rule never ends once it stands";
        findings.push(warning(at, "until", message));
    }
    findings
}

fn always(at: usize, rule: &Rule) -> Option<Finding> {
    let follows = match rule.effect {
        Effect::Hold | Effect::DenyRest => "the machine can never rest by itself",
        Effect::DenyWake => "nothing but an override can ever wake the machine",
        Effect::Wake => "the machine can never stay at rest",
        Effect::Rest => "the machine rests as soon as it may",
        Effect::Retire => "the machine goes as soon as the policy is set",
        Effect::Notify => "it tells once and never again",
    };
    Some(warning(at, "when", format!("this is always true: {follows}")))
}

/// A `wake` and a `rest` that are both true of the same values.
fn fights(policy: &Policy, budget: &mut Budget) -> Vec<Finding> {
    let of = |effect| {
        let rules = policy.rules().iter().enumerate();
        rules.filter(move |(_, rule)| rule.effect == effect).collect::<Vec<_>>()
    };
    let mut findings = Vec::new();
    for (_, wake) in of(Effect::Wake) {
        for (at, rest) in of(Effect::Rest) {
            let conditions: Vec<_> =
                [&wake.when, &rest.when].into_iter().chain(&wake.until).collect();
            let is_fight = |truths: &[bool]| matches!(truths, [true, true] | [true, true, false]);
            let Some(example) = Trial::of(policy, &conditions).example(is_fight, budget) else {
                continue;
            };
            let shares = rest.when.names().any(|name| wake.when.names().any(|n| n == name));
            let severity = if shares { Severity::Warning } else { Severity::Note };
            let message = format!("`{}` wakes while `{}` rests: {example}", wake.id, rest.id);
            let finding = Finding::new(severity, format!("rules[{at}].when"), message);
            findings.push(finding.hint("the wake wins; make the conditions exclude each other"));
        }
    }
    findings
}

/// A rule that adds nothing to another one.
fn shadows(policy: &Policy, budget: &mut Budget) -> Vec<Finding> {
    let rules = || policy.rules().iter().enumerate();
    let mut findings = Vec::new();
    for (at, rule) in rules() {
        let mut others =
            rules().filter(|(other_at, other)| *other_at != at && is_like(rule, other));
        let shadow = others.find(|(other_at, other)| {
            let implies = |a: &Rule, b: &Rule, budget: &mut Budget| {
                Trial::of(policy, &[&a.when, &b.when]).implies(budget)
            };
            // Of two equal rules, the later one adds nothing.
            implies(rule, other, budget) && (*other_at < at || !implies(other, rule, budget))
        });
        if let Some((_, other)) = shadow {
            let message =
                format!("`{}` adds nothing: whenever it stands, so does `{}`", rule.id, other.id);
            findings.push(Finding::new(Severity::Note, format!("rules[{at}]"), message));
        }
    }
    findings
}

/// Whether two rules differ in `id` and `when` alone.
fn is_like(a: &Rule, b: &Rule) -> bool {
    a.effect == b.effect
        && a.mode == b.mode
        && a.timing == b.timing
        && a.to == b.to
        && a.until.as_ref().map(|u| u.text()) == b.until.as_ref().map(|u| u.text())
}

#[cfg(test)]
mod tests;
