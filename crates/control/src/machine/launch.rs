//! Bringing a run up.
//!
//! A launch has two halves. The first (shim, disk, cgroup, network) leaves nothing behind when this
//! process dies: an unstarted shim ends with its socket. So it runs while the intent goes to the
//! disk. The second half, `Go`, is sent after the commit.

use super::commit::launched;
use super::task::Task;
use crate::app_secrets;
use crate::error::ControlError;
use crate::orders::{self, RunPlaces};
use crate::shim::Link;
use model::spec::EngineKind;
use model::{Effect, Event, Run};
use net::MachineAddrs;
use shim_proto::{RunSpec, ToShim};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

impl Task {
    /// First half, for a launch among the effects of a step that is about to be committed. Not when
    /// a run before it has yet to be released: that one's shim still has its place here.
    pub(super) fn begin_launches(&mut self, effects: &[Effect]) {
        if effects.iter().any(|effect| matches!(effect, Effect::Release(_))) {
            return;
        }
        if let Some(run) = effects.iter().find_map(launched) {
            let run = run.clone();
            self.launching = Some(run.id.clone());
            if let Err(error) = self.begin_launch(&run) {
                tracing::warn!(machine = %self.id, run = %run.id, %error, "a launch failed early");
                self.link = None;
                self.launch_error = Some(error);
            }
        }
    }

    /// The intent was not stored: the shim ends with its socket, nothing has run. The slot stays: it
    /// is named in the event, which may be tried again.
    pub(super) fn abandon_launch(&mut self) {
        if self.launching.take().is_some() {
            self.link = None;
            self.launch_error = None;
            if let Some(child) = self.child.take() {
                tokio::task::spawn_blocking(move || {
                    let mut child = child;
                    child.wait()
                });
            }
        }
    }

    /// Second half. After a restart of control there was no first half: then both, unless the shim
    /// was found alive.
    pub(super) fn finish_launch(&mut self, run: &Run) {
        let has_begun = self.launching.take().is_some_and(|id| id == run.id);
        let result = match self.launch_error.take() {
            Some(error) => Err(error),
            None if has_begun => self.send(&ToShim::Go),
            // Found alive after a restart of control: it may not have been told yet.
            None if self.link.is_some() => self.send(&ToShim::Go),
            None => self.begin_launch(run).and_then(|()| self.send(&ToShim::Go)),
        };
        if let Err(error) = result {
            self.link = None;
            let (code, message) = words_of(&error);
            self.run_failed(run, code, message, true);
        }
    }

    /// Reports that a run could not be brought up.
    pub(super) fn run_failed(&mut self, run: &Run, code: String, message: String, transient: bool) {
        self.last_failure = Some((code.clone(), message.clone()));
        match self.seed(false) {
            Ok(seed) => self.pending.push_back(Event::RunFailed {
                run: run.id.clone(),
                code,
                message,
                is_transient: transient,
                seed,
            }),
            Err(error) => tracing::error!(machine = %self.id, %error, "a failed run stays open"),
        }
    }

    fn begin_launch(&mut self, run: &Run) -> Result<(), ControlError> {
        self.last_failure = None;
        self.cpu.begin();
        self.run_cpu_us = 0;
        if self.reservation.is_none() {
            // A start by policy or recovery: room was promised when the machine was first started.
            self.reservation = Some(self.inner.capacity.adopt(self.record.spec.guest));
        }
        let spec = self.run_spec(run)?;
        let shim = self.inner.shims.take().map_err(|error| ControlError::Shim {
            message: format!("the shim cannot be spawned: {error}"),
        })?;
        self.refill_pools();
        self.child = Some(shim.child);
        let mut link = Link::from_spawned(shim.socket).map_err(shim_error)?;
        link.send(&ToShim::Prepare(Box::new(spec))).map_err(shim_error)?;
        self.link = Some(link);
        let addrs = MachineAddrs { v6: self.record.v6, v4: self.record.v4 };
        if let Some(slot) = self.slot.as_mut() {
            let began = Instant::now();
            self.inner.slots.assign(slot, &addrs)?;
            self.timings.add_net(began);
        }
        Ok(())
    }

    /// Keeps shims and slots waiting for the next start, beside this one.
    fn refill_pools(&self) {
        let inner = Arc::clone(&self.inner);
        drop(tokio::task::spawn_blocking(move || crate::recover::fill_pools(&inner)));
    }

    fn run_spec(&self, run: &Run) -> Result<RunSpec, ControlError> {
        let inner = &self.inner;
        let slot = run.slot.unwrap_or(model::SlotId(0));
        let (netns_path, userns_path) = inner.slots.pins_of(slot);
        let places = RunPlaces {
            machine_dir: inner.disks.machine_dir(&self.id),
            disk_path: inner.disks.disk_path(&self.id),
            image_path: self.image_path()?,
            netns_path,
            userns_path,
            id_base: net::slot::host_id_base(slot),
        };
        let secrets = app_secrets::of_run(inner, &self.record)?;
        let (config, instance) = (&inner.config, inner.instance());
        Ok(orders::run_spec(config, instance, &self.record, run, places, &secrets))
    }

    /// Where the machine's image is mounted; mounted now if it is not.
    fn image_path(&self) -> Result<PathBuf, ControlError> {
        match self.record.spec.engine {
            EngineKind::Container | EngineKind::Microvm => {
                Ok(self.inner.images.mount(&self.record.image.digest)?)
            }
            EngineKind::Fake => Ok(PathBuf::new()),
        }
    }
}

fn shim_error(error: std::io::Error) -> ControlError {
    ControlError::Shim { message: format!("the shim cannot be reached: {error}") }
}

/// Stable word and sentence of an error, its causes included.
pub(crate) fn words_of(error: &ControlError) -> (String, String) {
    let mut sentence = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    (error.code().to_owned(), sentence)
}
