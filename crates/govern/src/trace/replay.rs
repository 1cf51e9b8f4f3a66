//! Deciding again from what was read then.

use super::TraceEntry;
use crate::evaluate::{Shuts, decide};
use crate::verdict::{Lost, RuleResult, Stance, Tri};
use model::admit::Refused;
use model::admit::gates::Shut;
use policy::{Observed, Policy, Read, Recorded};
use serde::Serialize;

/// What a replay found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// The same rules over the same values give the same answers and the same decision.
    Agrees {
        /// Rules that read a secret, whose value was not recorded, or whose answers had no room in the
        /// entry: they were not judged.
        unjudged: Vec<String>,
    },
    /// They do not.
    Differs(Vec<Difference>),
    /// The entry is no decision, or was made under another policy.
    NotApplicable,
}

/// Where a replay differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The policy has no such rule.
    NoRule(String),
    /// A rule answers something else.
    Answer {
        /// The rule.
        rule: String,
        /// As recorded.
        was: Tri,
        /// As it is now.
        is: Tri,
    },
    /// Something else is decided.
    Stance {
        /// As recorded.
        was: Stance,
        /// As it is now.
        is: Stance,
    },
}

/// Evaluates a decision again from what it recorded. Pure.
#[must_use]
pub fn replay(entry: &TraceEntry, policy: &Policy) -> Replay {
    let Some(was) = &entry.body.decision else { return Replay::NotApplicable };
    if entry.body.policy_hash.as_ref().is_some_and(|hash| hash != policy.hash()) {
        return Replay::NotApplicable;
    }
    let mut unjudged = Vec::new();
    let mut differences = Vec::new();
    for result in &entry.body.results {
        match answer(entry, result, policy) {
            Answer::Same => {}
            Answer::Unjudged => unjudged.push(result.rule.clone()),
            Answer::Differs(difference) => differences.push(difference),
        }
    }
    let is_recorded = |id: &str| entry.body.results.iter().any(|result| result.rule == id);
    let unrecorded = policy.rules().iter().filter(|rule| !is_recorded(&rule.id));
    unjudged.extend(unrecorded.map(|rule| rule.id.to_string()));
    let (is, _) = decide(unlost(entry), &shuts(was));
    if is != *was {
        differences.push(Difference::Stance { was: was.clone(), is });
    }
    if differences.is_empty() { Replay::Agrees { unjudged } } else { Replay::Differs(differences) }
}

enum Answer {
    Same,
    Unjudged,
    Differs(Difference),
}

fn answer(entry: &TraceEntry, result: &RuleResult, policy: &Policy) -> Answer {
    let Some(rule) = policy.rules().iter().find(|rule| *rule.id == *result.rule) else {
        return Answer::Differs(Difference::NoRule(result.rule.clone()));
    };
    let names: Vec<String> = rule
        .when
        .names()
        .chain(rule.until.iter().flat_map(|until| until.names()))
        .map(ToString::to_string)
        .collect();
    let is_secret =
        |read: &Read| read.value == Observed::Secret && names.iter().any(|n| **n == *read.name);
    if entry.body.reads.iter().any(is_secret) {
        return Answer::Unjudged;
    }
    let recorded = Recorded::new(&entry.body.reads);
    let (when, until) = rule.evaluate(&recorded, entry.at);
    let now = (Tri::from(&when), until.as_ref().map(Tri::from));
    let pairs = [(Some(result.when), Some(now.0)), (result.until, now.1)];
    let differs = pairs.into_iter().find(|(was, is)| was != is);
    differs.map_or(Answer::Same, |(was, is)| {
        Answer::Differs(Difference::Answer {
            rule: result.rule.clone(),
            was: was.unwrap_or(Tri::Unknown),
            is: is.unwrap_or(Tri::Unknown),
        })
    })
}

/// The candidates as they came, before anybody had lost.
fn unlost(entry: &TraceEntry) -> Vec<crate::verdict::Candidate> {
    let candidates = entry.body.candidates.iter().cloned();
    candidates
        .map(|mut candidate| {
            candidate.lost = candidate.lost.take().filter(|lost| *lost == Lost::Muted);
            candidate
        })
        .collect()
}

/// The gate that was shut then, as the decision names it.
fn shuts(stance: &Stance) -> Shuts {
    let shut = |gate, by: &Option<String>| {
        Some(Shut { gate, by: by.clone(), opens_at: None, refusal: Refused::AutostartOff })
    };
    match stance {
        Stance::Owed { gate, gate_by, .. } => Shuts { wake: shut(*gate, gate_by), rest: None },
        Stance::Kept { gate, gate_by, .. } => Shuts { wake: None, rest: shut(*gate, gate_by) },
        Stance::Up { .. } | Stance::Down { .. } | Stance::Held { .. } | Stance::Stay => {
            Shuts::default()
        }
    }
}
