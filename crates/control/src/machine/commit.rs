//! From an event to a committed state: admit has been passed, `step` decides, one transaction keeps
//! machine, news, metering, the plan that begins, and what the machine's self notes of it; then the
//! effects are carried out.

use super::metering::Metering;
use super::selfhood::{Sheet, Stored, deepens_later, put_into_words};
use super::task::Task;
use crate::error::ControlError;
use crate::inner::new_event_id;
use crate::plans;
use crate::proxy::Quiet;
use model::spec::EngineKind;
use model::{Effect, Event, Machine, MachineId, Next, State, UnixMs, Want, step};
use std::sync::Arc;
use std::time::Instant;
use store::{EventRecord, MachineRecord, OwnerKind, PlanKind, StoreError, Tx, VersionRecord};

/// What was decided.
#[derive(Debug)]
struct Act {
    event: Event,
    /// Where the machine was.
    before: State,
    next: Next,
    now: UnixMs,
}

/// All that one step stores, together.
#[derive(Debug)]
struct Step {
    id: MachineId,
    machine: Machine,
    news: Vec<EventRecord>,
    metering: Metering,
    plan: Option<PlanKind>,
    new_version: Option<VersionRecord>,
    selfhood: Option<Stored>,
    now: UnixMs,
}

/// What is stored in the same transaction as a step.
#[derive(Debug, Default)]
pub(super) struct Along {
    /// A new version of the record.
    pub(super) new_version: Option<MachineRecord>,
    /// What has changed in the machine's self.
    pub(super) sheet: Option<Sheet>,
    /// The machine put itself to rest.
    pub(super) is_own_word: bool,
}

impl Task {
    /// Decides, commits and carries out what follows from `event`.
    pub(super) async fn apply(&mut self, event: Event) -> Result<(), ControlError> {
        self.apply_with(event, Along::default()).await
    }

    /// As [`Task::apply`], with more in the same transaction.
    pub(super) async fn apply_with(
        &mut self,
        event: Event,
        along: Along,
    ) -> Result<(), ControlError> {
        let now = model::clock::now();
        let next = step(&self.record.machine, &event, now).map_err(ControlError::Refused)?;
        let act = Act { event, before: self.state().clone(), next, now };
        Box::pin(self.take_on(act, along)).await
    }

    async fn take_on(&mut self, act: Act, mut along: Along) -> Result<(), ControlError> {
        let is_step = act.next.machine != self.record.machine;
        // A call for rest is remembered also by a machine that is down already.
        if is_step || is_rest(&act.event) {
            self.note(&act, &mut along)?;
        }
        if !is_step {
            if let Some(sheet) = along.sheet.filter(|sheet| !sheet.is_empty()) {
                self.store_sheet(sheet).await?;
            }
            failpoint::hit("machine.committed");
            self.carry_out_all(act.next.effects).await;
            return Ok(());
        }
        // What leaves nothing behind may run before the intent is on the disk.
        self.begin_launches(&act.next.effects);
        let act = match self.begin_thaw(&act.next.effects).await {
            Some(outcome) => self.followed_by(act, outcome, &mut along)?,
            None => act,
        };
        self.keep(&act, along).await?;
        failpoint::hit("machine.committed");
        self.carry_out_all(act.next.effects).await;
        self.inner.governor.stands(&self.record);
        self.inner.proxy.changed(&self.id);
        self.stepped(&act.event, &act.before);
        if matches!(self.state(), State::Destroyed { .. }) {
            // Who waits for its self to change waits in vain.
            self.inner.self_watchers.notify(&self.id, self.record.machine.revision);
        }
        Ok(())
    }

    /// Puts on the sheet what its self notes.
    fn note(&mut self, act: &Act, along: &mut Along) -> Result<(), ControlError> {
        match self.noted(&act.event, &act.before, &act.next, along, act.now) {
            // The world does not tell its news twice: the step waits for what it would note.
            Err(error) if is_transient(&error) => Err(error),
            // Its life does not depend on what it remembers.
            Err(error) => {
                tracing::error!(machine = %self.id, %error, "its self notes nothing of a step");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The act with its outcome, which is here before it is stored.
    fn followed_by(
        &mut self,
        act: Act,
        outcome: Event,
        along: &mut Along,
    ) -> Result<Act, ControlError> {
        let now = model::clock::now();
        let next = step(&act.next.machine, &outcome, now).map_err(ControlError::Refused);
        let before = act.next.machine.state.clone();
        let noted = next.and_then(|next| {
            let later = Act { event: outcome, before, next, now };
            self.note(&later, along).map(|()| later)
        });
        match noted {
            Ok(later) => Ok(Act { next: act.next.then(later.next), ..later }),
            Err(error) => {
                self.take_thaw_back();
                Err(error)
            }
        }
    }

    /// Stores what was decided, and from then on it is so.
    async fn keep(&mut self, act: &Act, along: Along) -> Result<(), ControlError> {
        let Along { new_version, sheet, .. } = along;
        let sheet = sheet.filter(|sheet| !sheet.is_empty());
        let state = &act.next.machine.state;
        let mut step = self.step_to_store(act, new_version.as_ref());
        let spec = new_version.as_ref().map_or(&self.record.spec, |record| &record.spec);
        let deepens = deepens_later(spec.deepen, state);
        step.selfhood = sheet.as_ref().map(|sheet| sheet.to_stored(&self.id, deepens));
        step.news.iter_mut().for_each(|event| put_into_words(&mut event.news, sheet.as_ref()));
        let is_quiet = self.let_visitors_go(state).await;
        let began = Instant::now();
        if let Err(error) = self.commit(step).await {
            self.abandon_launch();
            self.take_thaw_back();
            if is_quiet {
                self.inner.proxy.resume(&self.id);
            }
            return Err(error.into());
        }
        self.timings.add_commit(began);
        if let Some(record) = new_version {
            self.record = record;
        }
        self.record.machine = act.next.machine.clone();
        if is_quiet {
            self.inner.proxy.drain(&self.id);
        }
        self.inner.watchers.notify(&self.id, self.record.machine.revision);
        self.inner.news.send_replace(());
        if let Some(sheet) = sheet {
            self.took(sheet);
        }
        Ok(())
    }

    async fn carry_out_all(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.carry_out(effect).await;
            failpoint::hit("machine.effect");
        }
    }

    /// Before a machine that visitors may be on their way to goes down: from here on they wait, or
    /// go elsewhere. Whether the proxy must be told if it stays up after all.
    async fn let_visitors_go(&self, next: &State) -> bool {
        let goes_down = self.state().is_up() && !next.is_up();
        if !goes_down || self.record.spec.services.is_empty() {
            return false;
        }
        self.inner.proxy.quiesce(&self.id, false).await == Quiet::Yes
    }

    fn step_to_store(&self, act: &Act, new_version: Option<&MachineRecord>) -> Step {
        let Act { event, next, now, .. } = act;
        let state = &next.machine.state;
        let news = next.news.iter().map(|news| EventRecord {
            id: new_event_id(*now),
            machine: self.id.clone(),
            at: *now,
            news: news.clone(),
        });
        Step {
            id: self.id.clone(),
            machine: next.machine.clone(),
            news: news.collect(),
            metering: self.metering(event, state, new_version.unwrap_or(&self.record), *now),
            plan: next.effects.iter().find_map(|effect| plans::plan_of(effect, state)),
            new_version: new_version.map(MachineRecord::current_version),
            selfhood: None,
            now: *now,
        }
    }

    /// Stores a step; one toward the machine's end finds room also on a full disk.
    async fn commit(&self, step: Step) -> Result<(), StoreError> {
        let state = &step.machine.state;
        let frees = matches!(state, State::Destroying { .. } | State::Destroyed { .. });
        let has_ended = matches!(state, State::Destroying { run: None, .. });
        let step = Arc::new(step);
        let write = move |tx: &Tx<'_>| step.write(tx);
        if !frees {
            return self.inner.store.write("machine.step", write).await;
        }
        match self.inner.write_freeing("machine.step", write.clone()).await {
            Err(StoreError::DiskFull) if has_ended && self.remove_disk_early().await => {
                self.inner.store.write("machine.step", write).await
            }
            other => other,
        }
    }

    /// Removes the disk of a machine before its end is stored, when nothing else is left to give:
    /// what its last run still had in the page cache may have taken the ballast's room. Only once
    /// its destruction is stored; the plan to come finds that step done. Whether the disk is gone.
    async fn remove_disk_early(&self) -> bool {
        if !matches!(self.state(), State::Destroying { .. }) {
            return false;
        }
        let (inner, id) = (Arc::clone(&self.inner), self.id.clone());
        match tokio::task::spawn_blocking(move || inner.disks.remove(&id)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(machine = %self.id, %error, "its disk cannot be removed yet");
                false
            }
            Err(panic) => {
                tracing::error!(machine = %self.id, %panic, "its disk is not removed");
                false
            }
        }
    }
}

impl Step {
    fn write(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        if let Some(new_version) = &self.new_version {
            self.write_version(tx, new_version)?;
        }
        tx.put_machine_state(&self.id, &self.machine, self.now)?;
        for event in &self.news {
            tx.append_event(event)?;
        }
        self.metering.write(tx)?;
        match &self.selfhood {
            Some(selfhood) => selfhood.write(tx)?,
            None if matches!(self.machine.state, State::Destroyed { .. }) => {
                tx.remove_selfhood(&self.id)?;
            }
            None => {}
        }
        match self.plan {
            Some(kind) if self.new_version.is_some() => {
                plans::begin_anew(tx, &self.id, kind, self.now)
            }
            Some(kind) => plans::begin(tx, &self.id, kind, self.now),
            None => Ok(()),
        }
    }

    /// From here on the new image is needed too; the plan lets go of the old one.
    fn write_version(&self, tx: &Tx<'_>, version: &VersionRecord) -> Result<(), StoreError> {
        tx.put_machine_version(version, self.now)?;
        if version.spec.engine != EngineKind::Fake {
            tx.add_ref(OwnerKind::Machine, self.id.as_str(), &version.image.digest)?;
            tx.touch_image(&version.image.digest, self.now)?;
        }
        Ok(())
    }
}

/// Whether somebody wants the machine down.
const fn is_rest(event: &Event) -> bool {
    matches!(event, Event::Want { want: Want::Down(_), .. })
}

/// Whether the same may succeed in a moment.
pub(super) fn is_transient(error: &ControlError) -> bool {
    matches!(error, ControlError::Store(error) if error.is_transient())
}

/// Whether an effect brings a run up.
pub(super) const fn launched(effect: &Effect) -> Option<&model::Run> {
    match effect {
        Effect::Launch(run) => Some(run),
        _ => None,
    }
}
