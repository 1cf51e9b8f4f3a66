//! From an event to a committed state: admit has been passed, `step` decides, one transaction keeps
//! machine, news, metering and the plan that begins; then the effects are carried out.

use super::task::Task;
use crate::error::ControlError;
use crate::inner::new_event_id;
use crate::plans;
use model::{Effect, Event, Next, RunId, State, UnixMs, step};
use store::{EventRecord, MachineRecord, MeterInterval, StoreError, Tx};

/// What a step changes in the meter.
#[derive(Debug)]
enum Metering {
    Same,
    Opens(MeterInterval),
    Closes { run: RunId, to: UnixMs, cpu_us: u64 },
}

impl Task {
    /// Decides, commits and carries out what follows from `event`.
    pub(super) async fn apply(&mut self, event: Event) -> Result<(), ControlError> {
        self.apply_with(event, None).await
    }

    /// As [`Task::apply`], with a new version of the record in the same transaction.
    pub(super) async fn apply_update(
        &mut self,
        event: Event,
        record: MachineRecord,
    ) -> Result<(), ControlError> {
        self.apply_with(event, Some(record)).await
    }

    async fn apply_with(
        &mut self,
        event: Event,
        new_version: Option<MachineRecord>,
    ) -> Result<(), ControlError> {
        let now = model::clock::now();
        let next = step(&self.record.machine, &event, now).map_err(ControlError::Refused)?;
        Box::pin(self.take_on(next, now, new_version)).await
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
            if let Err(error) = self.commit(&next, now, new_version.as_ref()).await {
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
        new_version: Option<&MachineRecord>,
    ) -> Result<(), StoreError> {
        let id = self.id.clone();
        let machine = next.machine.clone();
        let metering = self.metering(&machine.state, new_version.unwrap_or(&self.record), now);
        let new_version = new_version.map(MachineRecord::current_version);
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
                    tx.put_machine_version(new_version, now)?;
                }
                tx.put_machine_state(&id, &machine, now)?;
                for event in &news {
                    tx.append_event(event)?;
                }
                meter(tx, &metering)?;
                if let Some(kind) = plan {
                    plans::begin(tx, &id, kind, now)?;
                }
                Ok(())
            })
            .await
    }

    /// What the step to `after` changes in the meter of a machine of this size.
    fn metering(&self, after: &State, sized: &MachineRecord, now: UnixMs) -> Metering {
        let before = &self.record.machine.state;
        match (is_metered(before), is_metered(after), before.run(), after.run()) {
            (false, true, _, Some(run)) => {
                let is_new_run = matches!(before, State::Starting { .. });
                Metering::Opens(MeterInterval {
                    machine: sized.id.clone(),
                    app: sized.app.clone(),
                    run: run.id.clone(),
                    from: run.started_at.filter(|_| is_new_run).unwrap_or(now),
                    to: None,
                    cpus: sized.spec.guest.cpus,
                    memory_mib: sized.spec.guest.memory_mib,
                    cpu_us: 0,
                })
            }
            (true, false, Some(run), _) => Metering::Closes {
                run: run.id.clone(),
                to: end_of_metered(after, now),
                cpu_us: self.run_cpu_us,
            },
            _ => Metering::Same,
        }
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

/// When the seconds of the run that is followed by `after` end.
const fn end_of_metered(after: &State, now: UnixMs) -> UnixMs {
    match after {
        State::Stopped { exit: Some(exit), .. } | State::Backoff { exit, .. } => exit.exited_at,
        _ => now,
    }
}

fn meter(tx: &Tx<'_>, metering: &Metering) -> Result<(), StoreError> {
    match metering {
        Metering::Same => Ok(()),
        Metering::Opens(interval) => tx.open_interval(interval),
        Metering::Closes { run, to, cpu_us } => tx.close_interval(run, *to, *cpu_us),
    }
}

/// Whether an effect brings a run up.
pub(super) const fn launched(effect: &Effect) -> Option<&model::Run> {
    match effect {
        Effect::Launch(run) => Some(run),
        _ => None,
    }
}
