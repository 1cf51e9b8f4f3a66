//! Compiled policies, shared by all machines that have the same one.
//!
//! A sleeping machine keeps none: what is forgotten here is compiled again from the stored text.

use crate::error::ControlError;
use model::{Digest, MachineId};
use policy::{Finding, Policy};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use store::StoreError;

/// Compiled policies that are kept: one takes some 20 KiB, so all of them take less than 10 MiB.
const KEPT_MAX: usize = 256;

/// The cache.
pub(crate) struct Policies {
    none: Arc<Policy>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_hash: HashMap<Digest, (Arc<Policy>, u64)>,
    n_uses: u64,
}

impl Default for Policies {
    fn default() -> Self {
        Self { none: Arc::new(govern::no_policy()), kept: Mutex::default() }
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policies").finish_non_exhaustive()
    }
}

/// A stored policy does not compile: it is of a later release, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("its policy cannot be compiled: {}", .0.first().map_or_else(String::new, ToString::to_string))]
struct Damaged(Vec<Finding>);

impl Policies {
    /// The policy of a machine that has none.
    pub(crate) fn none(&self) -> Arc<Policy> {
        Arc::clone(&self.none)
    }

    /// The policy of this hash, compiled from its stored text when it is not kept; `None` when the
    /// text is not stored.
    ///
    /// # Errors
    /// What the store said; [`ControlError::SelfUnreadable`] when the text does not compile.
    pub(crate) fn get(
        &self,
        machine: &MachineId,
        hash: &Digest,
        text: impl FnOnce() -> Result<Option<String>, StoreError>,
    ) -> Result<Option<Arc<Policy>>, ControlError> {
        if let Some(policy) = self.kept(hash) {
            return Ok(Some(policy));
        }
        let Some(text) = text()? else { return Ok(None) };
        let policy = Policy::parse(text.as_bytes())
            .map_err(|findings| ControlError::unreadable(machine, Damaged(findings)))?;
        Ok(Some(self.keep(Arc::new(policy))))
    }

    /// Keeps a policy; the one to use, when another of the same hash was faster.
    pub(crate) fn keep(&self, policy: Arc<Policy>) -> Arc<Policy> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.n_uses += 1;
        let n_uses = kept.n_uses;
        if kept.by_hash.len() >= KEPT_MAX && !kept.by_hash.contains_key(policy.hash()) {
            kept.drop_oldest();
        }
        let entry = kept.by_hash.entry(policy.hash().clone()).or_insert((policy, n_uses));
        Arc::clone(&entry.0)
    }

    fn kept(&self, hash: &Digest) -> Option<Arc<Policy>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.n_uses += 1;
        let n_uses = kept.n_uses;
        let (policy, used) = kept.by_hash.get_mut(hash)?;
        *used = n_uses;
        Some(Arc::clone(policy))
    }
}

impl Kept {
    fn drop_oldest(&mut self) {
        let oldest = self.by_hash.iter().min_by_key(|(_, (_, used))| *used);
        if let Some(hash) = oldest.map(|(hash, _)| hash.clone()) {
            self.by_hash.remove(&hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(n: usize) -> Arc<Policy> {
        let text =
            format!(r#"{{"rules":[{{"id":"r{n}","effect":"wake","when":"inbox.depth > {n}"}}]}}"#);
        Arc::new(Policy::parse(text.as_bytes()).expect("it is right"))
    }

    #[test]
    fn the_least_used_goes_first_and_comes_back_from_its_text() {
        let policies = Policies::default();
        let id = MachineId::from_random([1; 7]);
        let first = policies.keep(policy(0));
        let second = policies.keep(policy(1));
        for n in 2..KEPT_MAX {
            policies.keep(policy(n));
        }
        let no_text = || Ok(None);
        assert!(policies.get(&id, first.hash(), no_text).expect("no store").is_some());
        policies.keep(policy(KEPT_MAX));
        assert!(policies.get(&id, first.hash(), no_text).expect("no store").is_some());
        assert!(policies.get(&id, second.hash(), no_text).expect("no store").is_none());
        let text = second.document().canonical();
        let again = policies.get(&id, second.hash(), || Ok(Some(text))).expect("no store");
        assert_eq!(again.expect("it has a text").hash(), second.hash());
    }

    #[test]
    fn a_text_that_does_not_compile_is_an_error() {
        let id = MachineId::from_random([1; 7]);
        let hash = policy(0).hash().clone();
        let got = Policies::default().get(&id, &hash, || Ok(Some("{".to_owned())));
        assert_eq!(got.expect_err("it is broken").code(), "self_unreadable");
    }
}
