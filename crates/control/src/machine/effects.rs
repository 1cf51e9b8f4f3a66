//! Carrying out what a step decided. Each effect may be carried out twice.

use super::task::Task;
use super::thaw::Thaws;
use crate::error::ControlError;
use crate::{orders, plans};
use model::event::StopOrder;
use model::{Depth, Effect, Run, RunId};
use rustix::process::{Pid, Signal, kill_process};
use shim_proto::ToShim;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest time from the end of a run to the end of its shim: twice the time for its last words.
const SHIM_END_MAX: Duration = Duration::from_secs(5);

impl Task {
    pub(super) async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Prepare | Effect::Remove => plans::go_on(&self.inner, &self.id),
            Effect::Launch(run) => self.finish_launch(&run),
            Effect::Stop { run, order } => self.ask_to_stop(&run, order),
            Effect::Kill { run } => self.tell_run(&run, &ToShim::Kill),
            Effect::Sleep { run, depth: Depth::Freeze } => self.tell_run(&run, &ToShim::Freeze),
            Effect::Sleep { run, depth: Depth::Suspend | Depth::Stop } => {
                self.send_to_disk(run);
            }
            Effect::Wake { run, depth: Depth::Freeze } => self.finish_thaw(&run.id),
            Effect::Wake { run, depth: Depth::Suspend | Depth::Stop } => self.wake_from_disk(&run),
            Effect::NotifyRest { deadline, .. } => self.tell_notice(deadline),
            Effect::Release(run) => self.release(&run).await,
            // Whether it is still wanted, and by whom, is evaluated afresh.
            Effect::WakeOwed { .. } => self.must_evaluate = true,
            Effect::Arm { kind, .. } => {
                self.timers.arm(&self.record.machine, kind, model::clock::now());
            }
            Effect::Disarm(kind) => self.timers.disarm(kind),
        }
    }

    fn ask_to_stop(&mut self, run: &RunId, order: StopOrder) {
        let stop = ToShim::Stop { signal: order.signal, timeout_ms: order.timeout.0 };
        self.tell_run(run, &stop);
    }

    /// Sends to the shim of this run. A shim that cannot be reached is found out by the link's end,
    /// so a failure here is only noted.
    pub(super) fn tell_run(&mut self, run: &RunId, message: &ToShim) {
        if self.state().run().is_none_or(|current| current.id != *run) {
            return;
        }
        if let Err(ControlError::Shim { message }) = self.send(message) {
            tracing::warn!(machine = %self.id, %run, message, "the shim did not take an order");
        }
    }

    /// Gives back what the run held on the host.
    async fn release(&mut self, run: &Run) {
        self.part_with_shim("the machine has stopped").await;
        if !self.begins_again() {
            self.give_place_back();
        }
        self.drop_saved_ram().await;
        remove_if_there(&orders::socket_path(&self.inner.config.runtime_dir, &run.id));
        remove_if_there(&orders::exit_path(&self.inner.disks.machine_dir(&self.id), &run.id));
    }

    /// Ends all that was said to the shim and the guest, and waits for the shim's end.
    pub(super) async fn part_with_shim(&mut self, why: &str) {
        self.link = None;
        self.thaws = Thaws::default();
        self.streams.fail_all(why);
        self.refuse_questions();
        self.usages.clear();
        if let Some(child) = self.child.take() {
            reap(child).await;
        }
    }

    fn begins_again(&self) -> bool {
        matches!(self.state(), model::State::Starting { .. })
    }

    /// A place that was taken for a start which was then refused.
    pub(super) fn give_unused_place_back(&mut self) {
        if self.state().run().is_none_or(|run| run.slot.is_none()) {
            self.give_place_back();
        }
    }

    /// Returns the place beside the answer to whoever stopped the machine.
    pub(super) fn give_place_back(&mut self) {
        let Some(place) = self.place.take() else { return };
        let inner = Arc::clone(&self.inner);
        drop(tokio::task::spawn_blocking(move || {
            let id = place.id();
            if let Err(error) = place.give_back(&inner) {
                tracing::warn!(slot = %id, %error, "a place was discarded");
            }
        }));
    }
}

/// Waits for a shim that is about to end, so that it leaves no zombie; one that hangs is killed.
async fn reap(mut child: std::process::Child) {
    let pid = child.id();
    let mut waiting = tokio::task::spawn_blocking(move || child.wait());
    let mut ended = tokio::time::timeout(SHIM_END_MAX, &mut waiting).await;
    if ended.is_err() {
        tracing::error!(pid, "a shim hangs after its run: it is killed");
        // Not waited for yet, so the number is still this shim's.
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, Signal::KILL)
        {
            tracing::warn!(?pid, %error, "a shim cannot be killed");
        }
        ended = Ok(waiting.await);
    }
    if let Ok(Ok(Err(error))) = ended {
        tracing::warn!(pid, %error, "a shim could not be waited for");
    }
}

pub(super) fn remove_if_there(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a file of an ended run stays");
    }
}
