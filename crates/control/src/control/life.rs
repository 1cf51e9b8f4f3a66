//! Up, down, and away.

use super::{Answer, Control};
use crate::error::ControlError;
use crate::facade::{StopOverride, WaitFor, Waited, Wanted};
use crate::machine::Command;
use model::{Cause, EventId, MachineId, Refused, Want};
use std::time::Duration;
use store::{EVENT_PAGE_MAX, MachineFilter, MachineRecord};
use tokio::time::Instant;

/// Longest wait for a state. Source: machines-api 1.6, Wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Longest wait for all machines of an app to be destroyed.
const DESTROY_ALL_MAX: Duration = Duration::from_secs(60);

impl Control {
    /// The one door: everybody who wants a machine up or down comes through here.
    ///
    /// A way up is answered when the program runs, a way down when it has begun.
    ///
    /// # Errors
    /// [`ControlError::Refused`] names the gate, [`ControlError::StartFailed`] what the program
    /// lacked.
    pub async fn want(
        &self,
        id: &MachineId,
        want: Want,
        cause: Cause,
        stop: StopOverride,
    ) -> Answer<Wanted> {
        self.ask(id, |reply| Command::Want { want, cause, stop, reply }).await
    }

    /// Stops the machine if it is up, and starts it. Answered when the program runs.
    ///
    /// # Errors
    /// As [`Control::want`].
    pub async fn restart(
        &self,
        id: &MachineId,
        cause: Cause,
        stop: StopOverride,
    ) -> Answer<Wanted> {
        self.ask(id, |reply| Command::Restart { cause, stop, reply }).await
    }

    /// Removes the machine with all it has; `force` also when it is up. Answered when the removal
    /// is certain.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when it is up and `force` is off, or somebody holds a lease.
    pub async fn destroy(&self, id: &MachineId, cause: Cause, force: bool) -> Answer<()> {
        self.ask(id, |reply| Command::Destroy { cause, force, reply }).await
    }

    pub(super) async fn destroy_all(&self, ids: impl Iterator<Item = MachineId>) -> Answer<()> {
        let ids: Vec<MachineId> = ids.collect();
        for id in &ids {
            match self.destroy(id, Cause::Plan, true).await {
                // It is gone already, if not by this call.
                Ok(())
                | Err(ControlError::NotFound { .. })
                | Err(ControlError::Refused(Refused::State { state: "destroyed", .. })) => {}
                Err(error) => return Err(error),
            }
        }
        for id in &ids {
            let gone = WaitFor {
                states: vec!["destroyed".to_owned()],
                timeout: model::DurationMs(u64::try_from(DESTROY_ALL_MAX.as_millis()).unwrap_or(0)),
                version: None,
                from_event: None,
            };
            self.wait(id, gone).await?;
        }
        Ok(())
    }

    /// Sends a signal to the program.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when it does not run.
    pub async fn signal(&self, id: &MachineId, cause: Cause, signal: i32) -> Answer<()> {
        self.ask(id, |reply| Command::Signal { signal, cause, reply }).await
    }

    /// Waits until the machine is in one of the states.
    ///
    /// # Errors
    /// [`ControlError::WaitTimeout`]; [`ControlError::StaleVersion`] when the wanted version has
    /// been replaced.
    pub async fn wait(&self, id: &MachineId, what: WaitFor) -> Answer<Waited> {
        let deadline = Instant::now() + what.timeout.to_std().min(WAIT_MAX);
        let mut changes = self.inner.watchers.subscribe(id);
        loop {
            let record = self.machine(None, id)?;
            let state = record.machine.state.api_name();
            if let Some(version) = &what.version
                && *version != record.version
            {
                return Err(ControlError::WaitTimeout {
                    wanted: what.states.join(","),
                    actual: "replaced".to_owned(),
                });
            }
            if let Some(waited) = self.is_reached(&record, &what)? {
                return Ok(waited);
            }
            let has_changed = tokio::time::timeout_at(deadline, changes.changed()).await;
            if has_changed.is_err() {
                return Err(ControlError::WaitTimeout {
                    wanted: what.states.join(","),
                    actual: state.to_owned(),
                });
            }
        }
    }

    fn is_reached(&self, record: &MachineRecord, what: &WaitFor) -> Answer<Option<Waited>> {
        if let Some(from) = &what.from_event
            && let Some(waited) = self.passed_through(record, what, from)?
        {
            return Ok(Some(waited));
        }
        let state = &record.machine.state;
        let is_wanted = what.states.iter().any(|wanted| match wanted.as_str() {
            "settled" => state.is_settled(),
            name => name == state.api_name(),
        });
        if !is_wanted {
            return Ok(None);
        }
        let newest = self
            .inner
            .store
            .read(|reader| reader.events(&record.id, 1, what.from_event.as_ref()))?;
        if what.from_event.is_some() && newest.is_empty() {
            return Ok(None);
        }
        Ok(Some(Waited {
            state: state.api_name().to_owned(),
            version: record.version.clone(),
            event: newest.into_iter().next().map(|event| event.id),
        }))
    }

    /// The first wanted state that the machine has reached since an event, also if it is in another
    /// one by now.
    fn passed_through(
        &self,
        record: &MachineRecord,
        what: &WaitFor,
        from: &EventId,
    ) -> Answer<Option<Waited>> {
        let since = self.inner.store.read(|r| r.events(&record.id, EVENT_PAGE_MAX, Some(from)))?;
        let reached = since.into_iter().rev().find(|event| {
            // An exit is told as `stopped` whatever follows it.
            let goes_on = event.news.exit.as_ref().is_some_and(|exit| exit.restarting);
            !goes_on && what.states.contains(&event.news.status)
        });
        Ok(reached.map(|event| Waited {
            state: event.news.status,
            version: record.version.clone(),
            event: Some(event.id),
        }))
    }

    /// Machines that are up, for an orderly end of the daemon.
    ///
    /// # Errors
    /// What the store said.
    pub fn n_up(&self) -> Answer<usize> {
        let states = vec!["started".to_owned()];
        let filter = MachineFilter { states, ..MachineFilter::default() };
        Ok(self.inner.store.read(|reader| reader.machine_summaries(&filter))?.len())
    }
}
