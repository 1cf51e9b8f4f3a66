//! Rest permits: some machines of an app stay up.
//!
//! A permit is held from the decision that a machine rests until that is stored. Until then the
//! machine does not count as one that is up, for nobody, so two can never count on each other. All
//! else is read from the store for each question: after a crash no permit is left, and what the
//! store says is the truth.

use model::{AppName, MachineId};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The machines that have leave to rest, and are still stored as up.
#[derive(Debug, Default)]
pub(super) struct Permits {
    resting: Mutex<HashMap<AppName, HashSet<MachineId>>>,
}

/// Leave to rest. To be held until the rest is stored, or given up.
#[derive(Debug)]
pub(crate) struct RestPermit {
    permits: Arc<Permits>,
    app: AppName,
    id: MachineId,
}

impl Drop for RestPermit {
    fn drop(&mut self) {
        let mut resting = self.permits.lock();
        if let Some(ids) = resting.get_mut(&self.app) {
            ids.remove(&self.id);
            if ids.is_empty() {
                resting.remove(&self.app);
            }
        }
    }
}

impl Permits {
    /// Leave for the machine to rest, if `min` others of its app are up then. A machine that has
    /// leave gets none beside it.
    ///
    /// `up` lists machines that the store says are up, as many as there are or as it is asked for;
    /// nobody else can get or give up a permit meanwhile.
    ///
    /// # Errors
    /// What `up` said.
    pub(super) fn ask<E>(
        self: &Arc<Self>,
        app: &AppName,
        id: &MachineId,
        min: u32,
        up: impl FnOnce(usize) -> Result<Vec<MachineId>, E>,
    ) -> Result<Option<RestPermit>, E> {
        let mut resting = self.lock();
        let none = HashSet::new();
        let leaving = resting.get(app).unwrap_or(&none);
        if leaving.contains(id) {
            return Ok(None);
        }
        if min > 0 {
            let min = usize::try_from(min).unwrap_or(usize::MAX);
            let up = up(min.saturating_add(leaving.len() + 1))?;
            let stay = up.iter().filter(|other| *other != id && !leaving.contains(other));
            if stay.count() < min {
                return Ok(None);
            }
        }
        resting.entry(app.clone()).or_default().insert(id.clone());
        Ok(Some(RestPermit { permits: Arc::clone(self), app: app.clone(), id: id.clone() }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AppName, HashSet<MachineId>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
