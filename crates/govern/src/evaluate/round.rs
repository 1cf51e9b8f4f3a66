//! One round of answers: every rule, and what was read for it.

use crate::selfhood::Selfhood;
use crate::values::{SelfValues, Snapshot};
use crate::verdict::{RuleResult, Tri};
use crate::view::View;
use model::UnixMs;
use policy::{Edge, Policy, Read, RuleState, advance};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The rules' answers at one moment.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) results: Vec<RuleResult>,
    states: BTreeMap<String, RuleState>,
    pub(super) reads: BTreeMap<Arc<str>, Read>,
    /// Rules that have just begun to stand.
    pub(super) rose: BTreeSet<String>,
    /// When an answer or a state changes by itself.
    pub(super) next: Option<UnixMs>,
}

impl Round {
    pub(super) fn run(selfhood: &Selfhood, policy: &Policy, view: &View<'_>, now: UnixMs) -> Self {
        let values = Snapshot { own: SelfValues { selfhood, policy, now }, view };
        let mut round = Self {
            results: Vec::with_capacity(policy.rules().len()),
            states: BTreeMap::new(),
            reads: BTreeMap::new(),
            rose: BTreeSet::new(),
            next: None,
        };
        for rule in policy.rules() {
            let (when, when_next) = rule.when.evaluate_with_next(&values, now);
            let until = rule.until.as_ref().map(|until| until.evaluate_with_next(&values, now));
            let (until, until_next) = until.unzip();
            let state = selfhood.rules.get(&*rule.id).copied().unwrap_or_default();
            let advanced = advance(rule, state, &when.truth, until.as_ref().map(|o| &o.truth), now);
            let id = rule.id.to_string();
            if advanced.edge == Some(Edge::Rose) {
                round.rose.insert(id.clone());
            }
            if advanced.state != RuleState::default() {
                round.states.insert(id.clone(), advanced.state);
            }
            round.results.push(RuleResult {
                rule: id,
                effect: rule.effect,
                when: Tri::from(&when),
                until: until.as_ref().map(Tri::from),
                stands: advanced.stands,
            });
            let nexts = [when_next, until_next.flatten(), advanced.next, round.next];
            round.next = nexts.into_iter().flatten().filter(|at| now < *at).min();
            let reads = when.reads.into_iter().chain(until.into_iter().flat_map(|o| o.reads));
            round.reads.extend(reads.map(|read| (read.name.clone(), read)));
        }
        round
    }

    pub(super) fn stands(&self, rule: &str) -> bool {
        self.results.iter().any(|result| result.rule == rule && result.stands)
    }

    /// Keeps the states of the rules.
    pub(super) fn store(&self, next: &mut Selfhood) {
        next.rules.clone_from(&self.states);
    }
}
