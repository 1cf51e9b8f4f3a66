//! Bringing a run up.
//!
//! A launch has two halves. The first (shim, disk, cgroup, network) leaves nothing behind when this
//! process dies: an unstarted shim ends with its socket. So it runs while the intent goes to the
//! disk. The second half, `Go`, is sent after the commit.

use super::commit::launched;
use super::place::Place;
use super::task::Task;
use crate::app_secrets;
use crate::error::{ControlError, sentence_of};
use crate::orders;
use crate::shim::Link;
use crate::vms::{Accel, Base};
use guest_proto::LinkOrders;
use model::spec::{EngineKind, Persist};
use model::{Effect, Event, Run};
use net::{GuestNetwork, MachineAddrs};
use shim_proto::shape::Shape;
use shim_proto::spec::{ContainerSpec, EngineSpec, MicrovmSpec, RamSpec};
use shim_proto::{RunSpec, ToShim};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;

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
            self.abandoned =
                self.child.take().map(|mut shim| tokio::task::spawn_blocking(move || shim.wait()));
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

    /// Makes a run go on that is on disk. Its intent is stored: there is but one half.
    pub(super) fn resume(&mut self, run: &Run) {
        let spec = self.run_spec(run, true);
        let resumed = spec.and_then(|spec| self.hand_to_shim(spec));
        if let Err(error) = resumed.and_then(|()| self.send(&ToShim::Go)) {
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
        self.wait_for_abandoned();
        let spec = self.run_spec(run, false)?;
        self.hand_to_shim(spec)
    }

    /// Has a shim prepare a run, and leads the machine's addresses there.
    fn hand_to_shim(&mut self, spec: RunSpec) -> Result<(), ControlError> {
        let shim = match Place::take_shim(&mut self.place) {
            Some(shim) => shim,
            None => self.inner.shims.take().map_err(|error| ControlError::Shim {
                message: format!("the shim cannot be spawned: {error}"),
            })?,
        };
        self.refill_pools();
        self.child = Some(shim.child);
        let mut link = Link::from_spawned(shim.socket).map_err(shim_error)?;
        link.send(&ToShim::Prepare(Box::new(spec))).map_err(shim_error)?;
        self.link = Some(link);
        let addrs = MachineAddrs { v6: self.record.v6, v4: self.record.v4 };
        if let Some(place) = self.place.as_mut() {
            let began = Instant::now();
            place.assign(&self.inner.slots, &addrs)?;
            self.timings.add_net(began);
        }
        Ok(())
    }

    /// A shim that was not told to go takes down what it has prepared, under names that the next one uses.
    fn wait_for_abandoned(&mut self) {
        let Some(ending) = self.abandoned.take() else { return };
        let ended = tokio::task::block_in_place(|| Handle::current().block_on(ending));
        if let Ok(Err(error)) = ended {
            tracing::warn!(machine = %self.id, %error, "an abandoned shim could not be waited for");
        }
    }

    /// Keeps shims and slots waiting for the next start, beside this one.
    fn refill_pools(&self) {
        let inner = Arc::clone(&self.inner);
        drop(tokio::task::spawn_blocking(move || crate::recover::fill_pools(&inner)));
    }

    fn run_spec(&self, run: &Run, is_resume: bool) -> Result<RunSpec, ControlError> {
        let inner = &self.inner;
        let secrets = app_secrets::of_run(inner, &self.record)?;
        let machine_dir = inner.disks.machine_dir(&self.id);
        let (config, engine) = (&inner.config, self.engine_spec(run, is_resume)?);
        let instance = inner.instance();
        Ok(orders::run_spec(config, instance, &self.record, run, &machine_dir, engine, &secrets))
    }

    /// The engine, and what it needs.
    fn engine_spec(&self, run: &Run, is_resume: bool) -> Result<EngineSpec, ControlError> {
        let (inner, record) = (&self.inner, &self.record);
        let slot = run.slot.unwrap_or(model::SlotId(0));
        let image = &record.image.digest;
        let disk_path = inner.disks.disk_path(&self.id);
        let reset_disk = record.spec.rootfs.persist == Persist::Never;
        Ok(match record.spec.engine {
            EngineKind::Container => {
                let (netns_path, userns_path) = inner.slots.pins_of(slot);
                EngineSpec::Container(ContainerSpec {
                    disk_path,
                    image_path: inner.images.mount(image)?,
                    init_path: inner.config.init_path.clone(),
                    netns_path,
                    userns_path: Some(userns_path),
                    id_base: net::slot::host_id_base(slot),
                    cgroup: orders::cgroup(inner.instance(), &self.id),
                    reset_disk,
                })
            }
            EngineKind::Microvm => {
                // The mount is for what it checks: a guest reads the file.
                inner.images.mount(image)?;
                let dir = orders::ram_dir(&inner.disks.machine_dir(&self.id));
                let monitor = || {
                    let base = match is_resume {
                        true => Base::Of(dir.clone()),
                        false => Base::New(self.shape()?),
                    };
                    inner.vms.monitor(inner, &base, slot)
                };
                EngineSpec::Microvm(Box::new(MicrovmSpec {
                    monitor: tokio::task::block_in_place(monitor)?,
                    disk_path,
                    image_path: inner.images.file(image),
                    link: Some(self.link_orders()),
                    reset_disk,
                    ram: RamSpec { dir, config: format!("{} {image}", record.version), is_resume },
                }))
            }
            EngineKind::Fake => EngineSpec::Fake(orders::fake_spec(&record.spec.metadata)),
        })
    }

    /// The shape of a virtual machine here. Blocking.
    fn shape(&self) -> Result<Shape, ControlError> {
        let (inner, spec) = (&self.inner, &self.record.spec);
        let shape = inner.vms.shape_of(&inner.disks, spec.guest)?;
        if spec.needs_kvm && shape.accel != Accel::Kvm {
            return Err(ControlError::Unfit {
                code: "kvm_missing",
                message: "KVM runs no guests here any more, and nobody asked for an emulated one"
                    .to_owned(),
                hint: "see `dormouse doctor`; an update with `engine: microvm` asks for it"
                    .to_owned(),
            });
        }
        Ok(shape)
    }

    /// What a virtual machine sets on its link.
    fn link_orders(&self) -> LinkOrders {
        let guest = GuestNetwork::of(&MachineAddrs { v6: self.record.v6, v4: self.record.v4 });
        LinkOrders {
            v4: guest.v4,
            v6: guest.v6,
            v6_len: guest.v6_len,
            gateway_v4: guest.gateway_v4,
            gateway_v6: guest.gateway_v6,
        }
    }
}

fn shim_error(error: std::io::Error) -> ControlError {
    ControlError::Shim { message: format!("the shim cannot be reached: {error}") }
}

/// Stable word and sentence of an error, its causes included.
pub(crate) fn words_of(error: &ControlError) -> (String, String) {
    (error.code().to_owned(), sentence_of(error))
}
