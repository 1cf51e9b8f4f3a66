//! The record in the hands of whoever works with it.

use crate::error::ControlError;
use crate::inner::Inner;
use govern::Selfhood;
use govern::verdict::Stance;
use model::{Machine, MachineId, UnixMs};
use policy::Policy;
use std::sync::Arc;
use store::Reader;

/// A machine's self, with its policy.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// The record.
    pub(crate) selfhood: Selfhood,
    /// Its policy; an empty one when it has none.
    pub(crate) policy: Arc<Policy>,
    /// When it is to be evaluated next, as stored.
    pub(crate) next_at: Option<UnixMs>,
}

impl Own {
    /// Reads it; one that was never written is empty.
    ///
    /// # Errors
    /// What the store said; [`ControlError::SelfUnreadable`].
    pub(crate) fn load(inner: &Inner, id: &MachineId) -> Result<Self, ControlError> {
        Self::load_with(inner, id, |_| Ok(())).map(|(own, ())| own)
    }

    /// As [`Own::load`], with something else of the same moment.
    ///
    /// # Errors
    /// As [`Own::load`].
    pub(crate) fn load_with<T>(
        inner: &Inner,
        id: &MachineId,
        also: impl FnOnce(&Reader<'_>) -> Result<T, store::StoreError>,
    ) -> Result<(Self, T), ControlError> {
        let (record, also) =
            inner.store.read(|reader| Ok((reader.selfhood(id)?, also(reader)?)))?;
        let (selfhood, next_at) = match record {
            None => (Selfhood::default(), None),
            Some(record) => {
                let read = Selfhood::read(&record.record);
                (read.map_err(|error| ControlError::unreadable(id, error))?, record.next_at)
            }
        };
        let policy = policy_of(inner, id, &selfhood)?;
        Ok((Self { selfhood, policy, next_at }, also))
    }

    /// Number of the first entry of its trace that is kept.
    pub(super) const fn first_entry(&self) -> u64 {
        self.selfhood.trace.first
    }

    /// Whether an evaluation could lead to anything. A machine that never asked for any of this is
    /// never evaluated.
    pub(super) fn is_governed(&self, machine: &Machine) -> bool {
        self.governs() || machine.owed.is_some()
    }

    /// As [`Own::is_governed`], as far as the self alone says: stored with it, so that a start of
    /// control passes over the others. An owed wake is stored with the machine.
    pub(super) fn governs(&self) -> bool {
        let Selfhood { alarms, holds, rest, inbox, decision, .. } = &self.selfhood;
        !self.policy.rules().is_empty()
            || !alarms.is_empty()
            || !holds.is_empty()
            || rest.is_some()
            || inbox.wakes > 0
            || decision.as_ref().is_some_and(|decision| decision.stance != Stance::Stay)
    }
}

fn policy_of(
    inner: &Inner,
    id: &MachineId,
    selfhood: &Selfhood,
) -> Result<Arc<Policy>, ControlError> {
    let Some(named) = &selfhood.policy else { return Ok(inner.policies.none()) };
    let text = || inner.store.read(|reader| reader.policy(&named.hash));
    inner.policies.get(id, &named.hash, text)?.ok_or_else(|| {
        ControlError::unreadable(id, format!("the text of its policy {} is missing", named.hash))
    })
}

#[cfg(test)]
mod tests;
