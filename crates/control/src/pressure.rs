//! The data file system before it is full: nothing new is made, the fastest writers are frozen, and
//! what was frozen is thawed when there is room again. The rules are `model::pressure`; this room
//! looks and acts.
//!
//! The watcher looks only while a machine has a task: a host on which everything sleeps has no
//! timer. One look is two system calls; below the first line one more for each active machine.
//!
//! Who was frozen for want of room is written in the machine's own state; the list here is read
//! from the store after each start of control.

mod growth;

use crate::control::Control;
use crate::error::ControlError;
use crate::facade::StopOverride;
use crate::inner::Inner;
use growth::{Growths, Sizes};
use model::pressure::{self, CALM_FROM, FREEZE_BELOW, NEW_REFUSED_BELOW, Room};
use model::{Cause, Depth, MachineId, PerMille, State, Want};
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use store::MachineFilter;
use tokio::time::Instant;

/// Longest wait for one machine before the watcher looks after the others.
const FREEZE_PATIENCE: Duration = Duration::from_secs(2);

/// Longest time that the watcher cares for the answer to a thaw; the machine goes on without.
const THAW_PATIENCE: Duration = Duration::from_secs(60);

impl Inner {
    /// Stands before everything that takes room for something new: create, pull, import, suspend to disk.
    ///
    /// # Errors
    /// [`ControlError::DiskPressure`] while there is little room.
    pub(crate) fn refuse_when_nearly_full(&self) -> Result<(), ControlError> {
        let free = disk::room(&self.config.data_dir)?.free();
        if free < NEW_REFUSED_BELOW {
            self.look_at_room.notify_one();
            return Err(ControlError::DiskPressure { free_percent: f64::from(free.0) / 10.0 });
        }
        self.make_ballast();
        Ok(())
    }

    /// Makes the ballast again if a full disk took it: there is room now.
    fn make_ballast(&self) {
        if let Err(error) = disk::ballast::ensure(&self.config.data_dir) {
            tracing::warn!(%error, "there is no room for the ballast");
        }
    }

    /// How much is free, if that is too little for a frozen writer to go on; a file system that
    /// cannot be asked is not in the way.
    pub(crate) fn disk_pressure(&self) -> Option<PerMille> {
        let room = disk::room(&self.config.data_dir).ok()?;
        Some(room.free()).filter(|free| *free < FREEZE_BELOW)
    }

    /// Machines that have a task: all that run, and perhaps some that rest.
    fn active(&self) -> Vec<MachineId> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

/// Looks at the data file system for as long as control lives.
pub(crate) async fn watch_for_ever(control: Control) {
    let mut watch = Watch::new(control);
    loop {
        let pause = watch.look().await;
        let inner = Arc::clone(watch.inner());
        let rung = inner.look_at_room.notified();
        if inner.active().is_empty() {
            rung.await;
        } else {
            // Rung or not, it is time.
            drop(tokio::time::timeout(pause, rung).await);
        }
    }
}

struct Watch {
    control: Control,
    /// The disks of active machines as they were, while there is little room.
    sizes: Option<Sizes>,
    /// Machines frozen for want of room; `None` when the store must be asked.
    pressed: Option<HashSet<MachineId>>,
    is_low: bool,
}

impl Watch {
    fn new(control: Control) -> Self {
        Self { control, sizes: None, pressed: None, is_low: false }
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.control.inner
    }

    /// Looks once and does what follows; answers when to look again.
    async fn look(&mut self) -> Duration {
        let room = match disk::room(&self.inner().config.data_dir) {
            Ok(room) => room,
            Err(error) => {
                tracing::warn!(%error, "the data file system cannot be asked for its room");
                return pressure::LOOK_EVERY_MAX.to_std();
            }
        };
        self.tell(room);
        if room.free() < NEW_REFUSED_BELOW {
            self.freeze_writers(room).await;
        } else {
            self.sizes = None;
        }
        if room.free() >= CALM_FROM {
            self.inner().make_ballast();
            self.thaw(room);
        }
        room.next_look().to_std()
    }

    /// Says once that the line was crossed, and once that it was crossed back.
    fn tell(&mut self, room: Room) {
        let free = room.free();
        if !self.is_low && free < FREEZE_BELOW {
            self.is_low = true;
            tracing::warn!(%free, "the data disk is nearly full: fast writers are frozen");
        } else if self.is_low && free >= CALM_FROM {
            self.is_low = false;
            tracing::info!(%free, "the data disk has room again");
        }
    }

    async fn freeze_writers(&mut self, room: Room) {
        let active = self.inner().active();
        let now = Sizes::of(&self.inner().disks, active, Instant::now());
        let Some(before) = self.sizes.take() else {
            self.sizes = Some(now);
            return;
        };
        let Growths { mut growths, within } = now.since(&before);
        growths.retain(|growth| self.is_running(&growth.machine));
        let chosen = pressure::to_freeze(room.free(), growths);
        let mut is_any_frozen = false;
        for growth in chosen {
            let cause =
                Cause::DiskPressure { free: room.free(), wrote_bytes: growth.bytes, within };
            is_any_frozen |= self.freeze(growth.machine, cause).await;
        }
        self.sizes = Some(before.renewed(now, is_any_frozen));
    }

    fn is_running(&self, machine: &MachineId) -> bool {
        let state = self.state(machine);
        matches!(state, Some(State::Started { .. } | State::Resting { .. }))
    }

    fn state(&self, machine: &MachineId) -> Option<State> {
        match self.inner().store.read(|reader| reader.machine(machine)) {
            Ok(record) => record.map(|record| record.machine.state),
            Err(error) => {
                tracing::warn!(%machine, %error, "its state cannot be read");
                None
            }
        }
    }

    /// Freezes a machine through the one door; whether that has begun.
    async fn freeze(&mut self, machine: MachineId, cause: Cause) -> bool {
        let figures = cause.figures().unwrap_or_default();
        let want = Want::Down(Depth::Freeze);
        let frozen = self.control.want(&machine, want, cause, StopOverride::default());
        match tokio::time::timeout(FREEZE_PATIENCE, frozen).await {
            Ok(Ok(_)) => {
                tracing::warn!(%machine, "{figures}");
                if let Some(pressed) = &mut self.pressed {
                    pressed.insert(machine);
                }
                return true;
            }
            Ok(Err(error)) => tracing::warn!(%machine, %error, "a fast writer cannot be frozen"),
            Err(_elapsed) => tracing::warn!(%machine, "a fast writer takes long to freeze"),
        }
        false
    }

    /// Wakes what was frozen for want of room and still is. What a hold-down keeps is tried again
    /// at the next look.
    fn thaw(&mut self, room: Room) {
        let pressed = match self.pressed.take().map_or_else(|| frozen(self.inner()), Ok) {
            Ok(pressed) => pressed,
            Err(error) => {
                tracing::warn!(%error, "what was frozen cannot be read");
                return;
            }
        };
        let is_pressed = |machine: &MachineId| self.state(machine).is_some_and(|s| s.is_pressed());
        let pressed: HashSet<MachineId> = pressed.into_iter().filter(is_pressed).collect();
        for machine in &pressed {
            let cause = Cause::DiskRoom { free: room.free() };
            drop(tokio::spawn(wake(self.control.clone(), machine.clone(), cause)));
        }
        self.pressed = Some(pressed);
    }
}

/// All machines that may have been frozen for want of room.
fn frozen(inner: &Inner) -> Result<HashSet<MachineId>, ControlError> {
    let states = ["suspending", "suspended"].map(str::to_owned).to_vec();
    let filter = MachineFilter { states, ..MachineFilter::default() };
    let summaries = inner.store.read(|reader| reader.machine_summaries(&filter))?;
    Ok(summaries.into_iter().map(|summary| summary.id).collect())
}

async fn wake(control: Control, machine: MachineId, cause: Cause) {
    let figures = cause.figures().unwrap_or_default();
    let woken = control.want(&machine, Want::Up, cause, StopOverride::default());
    match tokio::time::timeout(THAW_PATIENCE, woken).await {
        Ok(Ok(_)) => tracing::info!(%machine, "{figures}"),
        Ok(Err(error)) => tracing::debug!(%machine, %error, "it stays frozen"),
        Err(_elapsed) => tracing::warn!(%machine, "it takes long to thaw"),
    }
}
