//! Taking over a machine from an earlier control process.

use super::place::Place;
use super::shim_news::has_not_begun;
use super::task::Task;
use crate::{leftovers, orders};
use model::spec::EngineKind;
use model::{Event, Run};
use std::sync::Arc;

impl Task {
    /// Finds out what became of the machine meanwhile and carries on.
    pub(super) async fn adopt(&mut self) {
        if self.state().leads_up() && self.reservation.is_none() {
            // Promised by an earlier control process, to what is created or comes back by policy.
            self.reservation = Some(self.inner.capacity.adopt(self.record.spec.guest));
        }
        if let Some(run) = self.state().run().cloned() {
            if run.boot != self.inner.config.boot {
                self.rebooted();
            } else if !self.state().is_down() {
                self.adopt_run(&run).await;
            }
        }
        // News of what happened meanwhile decide what follows; without any, it is as it was.
        if self.pending.is_empty() {
            for effect in model::resume(&self.record.machine) {
                self.carry_out(effect).await;
            }
        }
        self.handle_pending().await;
        self.must_evaluate = true;
    }

    async fn adopt_run(&mut self, run: &Run) {
        if self.reservation.is_none() {
            self.reservation = Some(self.inner.capacity.adopt(self.record.spec.guest));
        }
        self.adopt_place(run);
        if self.find(run).await {
            return;
        }
        if self.comes_back_from_disk(run) {
            // Whatever had begun of that is gone, and has taken nothing.
            self.reap_leftovers(run).await;
        } else if has_not_begun(self.state()) {
            // It is launched again, under the same name, once what the first launch left is gone.
            self.reap_leftovers(run).await;
        } else {
            self.shim_lost(run).await;
        }
    }

    fn adopt_place(&mut self, run: &Run) {
        let Some(id) = run.slot else { return };
        match Place::adopt(&self.inner.slots, id, self.record.spec.engine) {
            Ok(place) => self.place = Some(place),
            Err(error) => {
                tracing::warn!(machine = %self.id, slot = %id, %error, "its place is not there");
            }
        }
    }

    fn rebooted(&mut self) {
        self.is_returning = true;
        match self.seed(self.is_awaited_from_disk()) {
            Ok(seed) => self.pending.push_back(Event::HostRebooted {
                seed,
                policy: self.record.spec.restart,
                auto_destroy: self.record.spec.auto_destroy,
            }),
            Err(error) => tracing::error!(machine = %self.id, %error, "a reboot stays unheard"),
        }
    }

    /// Ends what a lost shim left behind.
    pub(super) async fn reap_leftovers(&self, run: &Run) {
        let engine = self.record.spec.engine;
        if engine == EngineKind::Fake {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let cgroup = orders::run_cgroup(inner.instance(), engine, &self.id, run);
        let reaped =
            tokio::task::spawn_blocking(move || leftovers::reap(&inner.config.shim_path, &cgroup))
                .await;
        if let Ok(Err(error)) = reaped {
            tracing::error!(machine = %self.id, %error, "leftovers of a lost run");
        }
    }
}
