//! A machine whose RAM is on disk: nothing of it runs, and it holds neither RAM nor a place.

use super::task::Task;
use crate::orders;
use model::{Depth, Event, Run, RunId, State};
use shim_proto::ToShim;
use std::path::PathBuf;
use vmm::delta;

/// Shims that may be lost on one way back from disk, before the machine starts without its RAM.
const LOST_ON_WAY_BACK_MAX: u8 = 3;

impl Task {
    /// Has the RAM put on disk, unless there is little room on it for what others need.
    pub(super) fn send_to_disk(&mut self, run: RunId) {
        match self.inner.refuse_when_nearly_full() {
            Ok(()) => self.tell_run(&run, &ToShim::Suspend),
            Err(error) => {
                // It runs on, also one that was frozen.
                self.tell_run(&run, &ToShim::Thaw);
                let message = error.to_string();
                self.pending.push_back(Event::SleepFailed { run, message });
            }
        }
    }

    /// The shim has put the RAM on disk, and ends.
    pub(super) async fn is_on_disk(&mut self, disk_bytes: u64) {
        tracing::info!(machine = %self.id, disk_bytes, "its RAM is on disk");
        self.part_with_shim("the machine sleeps").await;
        self.n_lost_on_way_back = 0;
        if let Some(run) = self.current_run() {
            self.pending.push_back(Event::Slept { run, depth: Depth::Suspend, ram_bytes: 0 });
        }
    }

    /// Whether a run whose shim is not there has come to sleep on disk; then that is heard.
    pub(super) async fn find_on_disk(&mut self, run: &Run) -> bool {
        let is_on_its_way = matches!(self.state(), State::Suspending { depth: Depth::Suspend, .. });
        if !is_on_its_way || !self.has_saved_ram(run) {
            return false;
        }
        // It may have been killed before it had given everything back.
        self.part_with_shim("the machine sleeps").await;
        self.reap_leftovers(run).await;
        let run = run.id.clone();
        self.pending.push_back(Event::Slept { run, depth: Depth::Suspend, ram_bytes: 0 });
        true
    }

    /// Whether RAM of this run is on disk. Whether it is of use shows when it comes back.
    fn has_saved_ram(&self, run: &Run) -> bool {
        match delta::key_of(&self.ram_dir()) {
            Ok(key) => key.is_some_and(|key| key.run == run.id.as_str()),
            Err(error) => {
                tracing::warn!(machine = %self.id, %error, "RAM on disk cannot be read");
                false
            }
        }
    }

    /// Whether a wake is under way of which nothing can have run yet.
    pub(super) fn comes_back_from_disk(&self, run: &Run) -> bool {
        self.is_awaited_from_disk() && self.has_saved_ram(run)
    }

    /// Whether a shim was lost on a way back from disk that another may take: it had not begun to use
    /// up what is there.
    pub(super) fn may_resume_again(&self, run: &Run) -> bool {
        self.n_lost_on_way_back < LOST_ON_WAY_BACK_MAX && self.comes_back_from_disk(run)
    }

    /// Has another shim do it.
    pub(super) async fn resume_again(&mut self, run: &Run) {
        self.n_lost_on_way_back += 1;
        tracing::warn!(machine = %self.id, run = %run.id, "its shim is lost on the way back from disk");
        self.part_with_shim("the machine comes back from disk once more").await;
        self.reap_leftovers(run).await;
        self.resume(run);
    }

    /// Whether it is to come back from disk.
    pub(super) fn is_awaited_from_disk(&self) -> bool {
        matches!(self.state(), State::Suspended { depth: Depth::Suspend, wake: Some(_), .. })
    }

    /// Makes a run go on that is on disk; or calls its way there off.
    pub(super) fn wake_from_disk(&mut self, run: &Run) {
        match self.state() {
            // On its way already.
            State::Suspended { .. } if self.link.is_some() => {}
            _ if self.link.is_some() => self.tell_run(&run.id, &ToShim::Thaw),
            _ => self.resume(run),
        }
    }

    /// It goes on; what was on disk is of no use any more.
    pub(super) fn came_back(&mut self) {
        self.has_old_ram = true;
        self.n_lost_on_way_back = 0;
        if let Some(run) = self.current_run() {
            self.pending.push_back(Event::Woke { run });
        }
    }

    /// Removes what is of no use any more, once it has been answered that the machine is up. Before anything
    /// else is asked of it: it may go to sleep again in the same place.
    pub(super) async fn drop_old_ram(&mut self) {
        if std::mem::take(&mut self.has_old_ram) {
            self.drop_saved_ram().await;
        }
    }

    /// Removes what a run that has ended had on disk.
    pub(super) async fn drop_saved_ram(&self) {
        let dir = self.ram_dir();
        if let Err(panic) = tokio::task::spawn_blocking(move || remove(&dir)).await {
            tracing::error!(machine = %self.id, %panic, "its RAM on disk is not removed");
        }
    }

    /// What sleeps on disk gives its place to others.
    pub(super) fn settle_place(&mut self) {
        let is_on_disk = matches!(
            self.state(),
            State::Suspended { run: Run { slot: None, .. }, depth: Depth::Suspend, wake: None, .. }
        );
        if is_on_disk {
            self.give_place_back();
        }
    }

    fn ram_dir(&self) -> PathBuf {
        orders::ram_dir(&self.inner.disks.machine_dir(&self.id))
    }
}

fn remove(dir: &std::path::Path) {
    if let Err(error) = delta::remove(dir) {
        tracing::warn!(%error, "RAM on disk stays");
    }
}
