//! What a machine's task is told: each request meets its gate, becomes an event, and is answered.

use super::answers::{Waiting, answer_to};
use super::commit::Along;
use super::task::Task;
use super::{Command, PlanEnd, Reply, VersionChange};
use crate::error::ControlError;
use crate::facade::{StopOverride, Wanted};
use model::admit::calls::Call;
use model::cause::CauseClass;
use model::{Cause, Depth, Event, State, Want};
use std::time::Instant;
use store::{MachineRecord, StoreError};

impl Task {
    pub(super) async fn obey(&mut self, command: Command) {
        match command {
            Command::Promise(reservation) => self.reservation = Some(reservation),
            Command::Want { want, cause, stop, reply } => self.want(want, cause, stop, reply).await,
            Command::Restart { cause, stop, reply } => self.restart(cause, stop, reply).await,
            Command::Destroy { cause, force, reply } => {
                let answer = self.destroy(&cause, force).await;
                answer_to(reply, answer);
            }
            Command::Update { cause, change, reply } => {
                let answer = self.update(&cause, *change).await;
                answer_to(reply, answer);
            }
            Command::Signal { signal, cause, reply } => {
                let answer = self.signal(signal, &cause);
                answer_to(reply, answer);
            }
            Command::Ask { question, reply } => self.ask(question, reply),
            Command::Usage { reply } => self.usage(reply),
            Command::Exec { orders, cause, reply } => {
                let answer = self.exec(orders, &cause);
                answer_to(reply, answer);
            }
            Command::SelfWrite { write, writer, reply } => {
                let answer = self.self_write(&write, &writer).await;
                answer_to(reply, answer);
            }
            Command::SelfImport { export, writer, reply } => {
                let answer = self.self_import(&export, &writer).await;
                answer_to(reply, answer);
            }
            Command::Evaluate => self.told_to_evaluate(),
            Command::Notices { reply } => self.wait_for_notice(reply),
            Command::PlanEnded(end) => self.plan_ended(end),
            Command::Reread => {
                self.reread();
                // Somebody may have given a lease back.
                self.must_evaluate = true;
            }
            Command::Adopt { reply } => {
                self.adopt().await;
                // Recovery may have given up waiting; the adoption is done all the same.
                reply.send(()).unwrap_or_default();
            }
        }
    }

    async fn want(&mut self, want: Want, cause: Cause, stop: StopOverride, reply: Reply<Wanted>) {
        let began = Instant::now();
        let previous_state = self.state().api_name().to_owned();
        let now = model::clock::now();
        match self.admit(want, &cause, now) {
            Err(error) => answer_to(reply, Err(error)),
            Ok(false) if want == Want::Up => {
                self.waiting_up.push(Waiting { previous_state, reply });
            }
            Ok(false) => {
                let state = previous_state.clone();
                let silenced = self.silence(want, cause).await;
                let answer =
                    silenced.map(|()| Wanted { previous_state, state, timings: Vec::new() });
                answer_to(reply, answer);
            }
            // Without room its disk would be damaged, and the outcome could not be stored.
            Ok(true) if want == Want::Up && self.is_disk_full() => {
                answer_to(reply, Err(ControlError::Store(StoreError::DiskFull)));
            }
            Ok(true) if let Some(error) = self.lacks_room_for(want) => {
                answer_to(reply, Err(error));
            }
            Ok(true) => {
                self.timings.begin(began);
                let event = match self.seed(want == Want::Up) {
                    Ok(seed) => Event::Want { want, cause, seed, stop: self.stop_order(stop) },
                    Err(error) => return answer_to(reply, Err(error)),
                };
                let applied = self.apply(event).await;
                match applied {
                    Err(error) => answer_to(reply, Err(error)),
                    Ok(()) if want == Want::Up => {
                        self.waiting_up.push(Waiting { previous_state, reply });
                    }
                    Ok(()) => {
                        let state = self.state().api_name().to_owned();
                        answer_to(reply, Ok(Wanted { previous_state, state, timings: Vec::new() }));
                    }
                }
            }
        }
    }

    /// Why its RAM cannot go to disk, if that is wanted.
    pub(super) fn lacks_room_for(&self, want: Want) -> Option<ControlError> {
        let is_to_disk = want == Want::Down(Depth::Suspend);
        if is_to_disk { self.inner.refuse_when_nearly_full().err() } else { None }
    }

    /// A call for rest that finds the machine at rest silences what wants it up all the same.
    async fn silence(&mut self, want: Want, cause: Cause) -> Result<(), ControlError> {
        let is_asleep =
            matches!(self.state(), State::Stopped { .. } | State::Suspended { wake: None, .. });
        if !is_asleep || cause.class(want) != CauseClass::ApiRest || !self.wants_something() {
            return Ok(());
        }
        let (seed, stop) = (self.seed(false)?, self.stop_order(StopOverride::default()));
        self.apply(Event::Want { want, cause, seed, stop }).await
    }

    /// Evaluates when nothing is under way; the end of a start is a reason by itself.
    fn told_to_evaluate(&mut self) {
        self.must_evaluate = true;
        if self.is_starting() {
            self.inner.governor.set_next(&self.id, None);
        }
    }

    async fn restart(&mut self, cause: Cause, stop: StopOverride, reply: Reply<Wanted>) {
        let began = Instant::now();
        let previous_state = self.state().api_name().to_owned();
        let now = model::clock::now();
        let allowed = self.allow_restart(&cause, now);
        self.timings.begin(began);
        let applied = match allowed.and_then(|()| self.seed(true)) {
            Ok(seed) => {
                let stop = self.stop_order(stop);
                self.apply(Event::Restart { cause, seed, stop }).await
            }
            Err(error) => Err(error),
        };
        match applied {
            Ok(()) => self.waiting_up.push(Waiting { previous_state, reply }),
            Err(error) => answer_to(reply, Err(error)),
        }
    }

    async fn destroy(&mut self, cause: &Cause, force: bool) -> Result<(), ControlError> {
        if self.allow(call_of_destroy(force), cause, model::clock::now())? {
            self.apply(Event::Destroy { force }).await?;
        }
        Ok(())
    }

    /// Whether the data file system has no room; one that cannot be asked is not in the way.
    pub(super) fn is_disk_full(&self) -> bool {
        disk::is_full(&self.inner.config.data_dir).unwrap_or(false)
    }

    async fn update(
        &mut self,
        cause: &Cause,
        mut change: VersionChange,
    ) -> Result<MachineRecord, ControlError> {
        let now = model::clock::now();
        self.allow(Call::Update, cause, now)?;
        // Since it was looked at, others may have been here.
        if change.expected.as_ref().is_some_and(|expected| *expected != self.record.version) {
            let current = self.record.version.to_string();
            return Err(ControlError::StaleVersion { current });
        }
        change.record.lease = self.record.lease.clone();
        change.record.cordoned = self.record.cordoned;
        let stop = self.stop_order(StopOverride::default());
        let event = Event::Update { launch: change.launch, stop };
        let sheet = self.amended(&change, now)?;
        self.reserve_for(&event, change.record.spec.guest, now)?;
        let along = Along { new_version: Some(change.record), sheet, ..Along::default() };
        self.apply_with(event, along).await?;
        Ok(self.record.clone())
    }

    fn plan_ended(&mut self, end: PlanEnd) {
        let event = match end {
            PlanEnd::Removed => Event::Removed,
            PlanEnd::PrepareFailed { code, message } => {
                self.last_failure = Some((code.clone(), message.clone()));
                Event::PrepareFailed { code, message }
            }
            PlanEnd::Prepared => match self.seed(self.launches_when_prepared()) {
                Ok(seed) => Event::Prepared { seed },
                Err(error) => {
                    Event::PrepareFailed { code: "no_slot".to_owned(), message: error.to_string() }
                }
            },
        };
        self.reread();
        self.pending.push_back(event);
    }

    fn launches_when_prepared(&self) -> bool {
        matches!(
            self.state(),
            State::Creating { launch: true, .. } | State::Updating { launch: true, .. }
        )
    }

    /// Reads what others may have changed in the record; the state is ours alone.
    fn reread(&mut self) {
        match self.inner.store.read(|reader| reader.machine(&self.id)) {
            Ok(Some(record)) => {
                self.record = record;
                self.inner.proxy.changed(&self.id);
            }
            Ok(None) => {}
            Err(error) => tracing::error!(machine = %self.id, %error, "cannot read the record"),
        }
    }
}

const fn call_of_destroy(force: bool) -> Call {
    if force { Call::ForceDestroy } else { Call::Destroy }
}
