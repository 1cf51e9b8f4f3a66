//! A checked policy.

use crate::alarm::Alarm;
use crate::condition::Condition;
use crate::document::{Document, DocumentError, Effect, FactSchema, RuleText};
use crate::finding::{Finding, Severity};
use crate::names::{Place, Vocabulary};
use crate::reading::{Outcome, Values};
use crate::standing::Timing;
use crate::text::{Position, TextError};
use model::{Depth, Digest, UnixMs};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A policy whose every part has been checked; equal documents compile to equal policies.
#[derive(Clone, Debug)]
pub struct Policy {
    document: Document,
    hash: Digest,
    rules: Vec<Rule>,
    alarms: BTreeMap<String, Alarm>,
    guards: BTreeMap<String, Condition>,
}

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name.
    pub id: Arc<str>,
    /// What it does while it stands.
    pub effect: Effect,
    /// What makes it stand.
    pub when: Condition,
    /// What ends that, when it is not the end of `when`.
    pub until: Option<Condition>,
    /// How its standing follows its conditions.
    pub timing: Timing,
    /// How deep a `rest` goes.
    pub mode: Depth,
    /// Where a `notify` goes.
    pub to: Option<String>,
}

impl Policy {
    /// Checks a document.
    ///
    /// # Errors
    /// Everything that is wrong with it, each finding of [`Severity::Error`].
    pub fn compile(document: Document) -> Result<Self, Vec<Finding>> {
        let mut findings = crate::shape::check(&document);
        let mut take = |result: Result<Condition, Finding>| {
            result.map_err(|finding| findings.push(finding)).ok()
        };
        let mut guards = BTreeMap::new();
        for (key, schema) in &document.facts {
            if let Some(guard) = compile_guard(&document, key, schema).and_then(&mut take) {
                guards.insert(key.clone(), guard);
            }
        }
        let mut rules = Vec::with_capacity(document.rules.len());
        for (at, rule) in document.rules.iter().enumerate() {
            let mut condition = |field: &str, text: &str| {
                let place = Place::Rule(rule.effect);
                let compiled = compile_text(&document, place, text);
                take(
                    compiled.map_err(|e| Finding::of_text(format!("rules[{at}].{field}"), text, e)),
                )
            };
            let when = condition("when", &rule.when);
            let until = rule.until.as_ref().map(|text| condition("until", text));
            if let (Some(when), true) = (when, until.as_ref().is_none_or(Option::is_some)) {
                rules.push(compiled_rule(rule, when, until.flatten()));
            }
        }
        let mut alarms = BTreeMap::new();
        for (name, text) in &document.alarms {
            match Alarm::compile(text) {
                Ok(alarm) => drop(alarms.insert(name.clone(), alarm)),
                Err(error) => findings.push(error.finding(name)),
            }
        }
        if findings.is_empty() {
            let hash = document.hash();
            Ok(Self { document, hash, rules, alarms, guards })
        } else {
            Err(findings)
        }
    }

    /// Reads and checks the text of a document.
    ///
    /// # Errors
    /// As [`Policy::compile`]; a text that is no document is one finding.
    pub fn parse(text: &[u8]) -> Result<Self, Vec<Finding>> {
        let document = Document::parse(text).map_err(|error| vec![unreadable(error)])?;
        Self::compile(document)
    }

    /// The document.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.document
    }

    /// The name of its content: [`Document::hash`].
    #[must_use]
    pub const fn hash(&self) -> &Digest {
        &self.hash
    }

    /// Its rules, in the order of the document.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Its alarms, by name.
    #[must_use]
    pub const fn alarms(&self) -> &BTreeMap<String, Alarm> {
        &self.alarms
    }

    /// The schema of a declared fact.
    #[must_use]
    pub fn fact(&self, key: &str) -> Option<&FactSchema> {
        self.document.facts.get(key)
    }

    pub(crate) fn guard(&self, key: &str) -> Option<&Condition> {
        self.guards.get(key)
    }

    /// Compiles the condition of a machine's own `rest until` against this policy's facts and peers.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn compile_rest_until(&self, text: &str) -> Result<Condition, TextError> {
        compile_text(&self.document, Place::RestUntil, text)
    }
}

impl Rule {
    /// The answers of its conditions at `now`: of `when`, and of `until` if it has one.
    pub fn evaluate(&self, values: &dyn Values, now: UnixMs) -> (Outcome, Option<Outcome>) {
        let until = self.until.as_ref().map(|until| until.evaluate(values, now));
        (self.when.evaluate(values, now), until)
    }

    /// The first moment after `now` at which time alone changes the answer of a condition of it.
    pub fn next_crossing(&self, values: &dyn Values, now: UnixMs) -> Option<UnixMs> {
        let conditions = std::iter::once(&self.when).chain(&self.until);
        conditions.filter_map(|condition| condition.next_crossing(values, now)).min()
    }
}

fn compile_guard(
    document: &Document,
    key: &str,
    schema: &FactSchema,
) -> Option<Result<Condition, Finding>> {
    let text = schema.guard.as_ref()?;
    let place = Place::Guard { ty: schema.ty, is_secret: schema.secret };
    let compiled = compile_text(document, place, text);
    Some(compiled.map_err(|e| Finding::of_text(format!("facts.{key}.guard"), text, e)))
}

fn compile_text(document: &Document, place: Place, text: &str) -> Result<Condition, TextError> {
    let vocabulary = Vocabulary { facts: &document.facts, peers: &document.peers, place };
    Condition::compile(text, &vocabulary)
}

fn compiled_rule(rule: &RuleText, when: Condition, until: Option<Condition>) -> Rule {
    let length = |period: Option<crate::period::Period>| period.unwrap_or_default().0;
    Rule {
        id: rule.id.as_str().into(),
        effect: rule.effect,
        when,
        until,
        timing: Timing {
            lasting: length(rule.lasting),
            release_for: length(rule.release_for),
            cooldown: length(rule.cooldown),
        },
        mode: rule.mode.unwrap_or(Depth::Stop),
        to: rule.to.clone(),
    }
}

pub(crate) fn unreadable(error: DocumentError) -> Finding {
    match error {
        DocumentError::TooLong { .. } => Finding::error("", error.to_string()),
        DocumentError::Shape { path, line, column, message, hint } => Finding {
            severity: Severity::Error,
            path,
            position: Some(Position { offset: 0, line, column }),
            excerpt: None,
            message,
            hint,
        },
    }
}
