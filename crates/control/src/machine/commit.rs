//! From an event to a committed state: admit has been passed, `step` decides, one transaction keeps
//! machine, news, metering and the plan that begins; then the effects are carried out.

use super::task::Task;
use crate::error::ControlError;
use crate::inner::new_event_id;
use crate::plans;
use model::{Effect, Event, Next, Run, RunId, State, UnixMs, step};
use store::{EventRecord, MachineRecord, MeterInterval, StoreError, Tx};

/// What a step changes in the meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metering {
    Same,
    Opens(UnixMs),
    Closes(UnixMs),
}

impl Task {
    /// Decides, commits and carries out what follows from `event`.
    pub(super) async fn apply(&mut self, event: Event) -> Result<(), ControlError> {
        let now = model::clock::now();
        let next = step(&self.record.machine, &event, now).map_err(ControlError::Refused)?;
        Box::pin(self.take_on(next, now, None)).await
    }

    /// As [`Task::apply`], with a new version of the record in the same transaction.
    pub(super) async fn apply_update(
        &mut self,
        event: Event,
        record: MachineRecord,
    ) -> Result<(), ControlError> {
        let now = model::clock::now();
        let next = step(&self.record.machine, &event, now).map_err(ControlError::Refused)?;
        Box::pin(self.take_on(next, now, Some(record))).await
    }

    async fn take_on(
        &mut self,
        next: Next,
        now: UnixMs,
        new_version: Option<MachineRecord>,
    ) -> Result<(), ControlError> {
        if next.machine != self.record.machine {
            // What leaves nothing behind may run while the intent goes to the disk.
            self.begin_launches(&next.effects);
            if let Err(error) = self.commit(&next, now, new_version.clone()).await {
                self.abandon_launch();
                return Err(error.into());
            }
            if let Some(record) = new_version {
                self.record = record;
            }
            self.record.machine = next.machine;
            self.inner.watchers.notify(&self.id, self.record.machine.revision);
        }
        failpoint::hit("machine.committed");
        for effect in next.effects {
            self.carry_out(effect).await;
            failpoint::hit("machine.effect");
        }
        Ok(())
    }

    async fn commit(
        &self,
        next: &Next,
        now: UnixMs,
        new_version: Option<MachineRecord>,
    ) -> Result<(), StoreError> {
        let id = self.id.clone();
        let machine = next.machine.clone();
        let metering = metering(&self.record.machine.state, &machine.state, now);
        let record = new_version.clone().unwrap_or_else(|| self.record.clone());
        let ended = self.record.machine.state.run().map(|run| run.id.clone());
        let cpu_us = self.run_cpu_us;
        let news: Vec<EventRecord> = next
            .news
            .iter()
            .map(|news| EventRecord {
                id: new_event_id(now),
                machine: id.clone(),
                at: now,
                news: news.clone(),
            })
            .collect();
        let plan = next.effects.iter().find_map(plans::plan_of_effect);
        self.inner
            .store
            .write("machine.step", move |tx| {
                if let Some(new_version) = &new_version {
                    tx.put_machine_version(&new_version.current_version(), now)?;
                }
                tx.put_machine_state(&id, &machine, now)?;
                for event in &news {
                    tx.append_event(event)?;
                }
                meter(tx, &record, machine.state.run(), ended.as_ref(), metering, cpu_us)?;
                if let Some(kind) = plan {
                    plans::begin(tx, &id, kind, now)?;
                }
                Ok(())
            })
            .await
    }
}

/// Whether seconds count in this state. Source: design, section 4, "Metering".
const fn is_metered(state: &State) -> bool {
    match state {
        State::Started { .. }
        | State::Resting { .. }
        | State::Stopping { .. }
        | State::Suspending { .. } => true,
        State::Updating { run, .. } | State::Destroying { run, .. } => run.is_some(),
        State::Creating { .. }
        | State::Starting { .. }
        | State::Stopped { .. }
        | State::Suspended { .. }
        | State::Backoff { .. }
        | State::Failed { .. }
        | State::Destroyed { .. } => false,
    }
}

fn metering(before: &State, after: &State, now: UnixMs) -> Metering {
    match (is_metered(before), is_metered(after)) {
        (false, true) => {
            let is_new_run = matches!(before, State::Starting { .. });
            let started_at = after.run().and_then(|run| run.started_at);
            Metering::Opens(started_at.filter(|_| is_new_run).unwrap_or(now))
        }
        (true, false) => {
            let ended = match after {
                State::Stopped { exit: Some(exit), .. } | State::Backoff { exit, .. } => {
                    exit.exited_at
                }
                _ => now,
            };
            Metering::Closes(ended)
        }
        (false, false) | (true, true) => Metering::Same,
    }
}

fn meter(
    tx: &Tx<'_>,
    record: &MachineRecord,
    begun: Option<&Run>,
    ended: Option<&RunId>,
    metering: Metering,
    cpu_us: u64,
) -> Result<(), StoreError> {
    match (metering, begun, ended) {
        (Metering::Opens(from), Some(run), _) => tx.open_interval(&MeterInterval {
            machine: record.id.clone(),
            app: record.app.clone(),
            run: run.id.clone(),
            from,
            to: None,
            cpus: record.spec.guest.cpus,
            memory_mib: record.spec.guest.memory_mib,
            cpu_us: 0,
        }),
        (Metering::Closes(to), _, Some(run)) => tx.close_interval(run, to, cpu_us),
        (Metering::Same | Metering::Opens(_) | Metering::Closes(_), _, _) => Ok(()),
    }
}

/// Whether an effect brings a run up.
pub(super) const fn launched(effect: &Effect) -> Option<&model::Run> {
    match effect {
        Effect::Launch(run) => Some(run),
        _ => None,
    }
}
