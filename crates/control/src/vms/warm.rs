//! Virtual machines that wait for a run, each in a shim and at a tap of its own, with a start rehearsed:
//! the next start of a machine of their shape need only bring its disks.
//!
//! ```text
//! a machine of the shape is created or started ──► the shape is wanted
//! wanted, and fewer than the low watermark wait ──► warmed one by one, up to the high one
//! no machine has the shape any more ──► they end
//! ```
//!
//! They hold no machine's data, and end with this process.

use super::Base;
use crate::error::ControlError;
use crate::inner::Inner;
use crate::orders;
use crate::shim::ShimProcess;
use model::spec::EngineKind;
use net::Tap;
use shim_proto::connection::{Connection, Filled};
use shim_proto::shape::Shape;
use shim_proto::spec::{Limits, WarmSpec};
use shim_proto::{FromShim, ToShim};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::MachineFilter;

/// Shapes for which some wait: those that were wanted last.
const SHAPES_MAX: usize = 2;

/// Longest time in which one is warmed. On an idle host it takes 0.7 s.
const WARM_WITHIN: Duration = Duration::from_secs(60);

/// Time without another attempt after one that failed: what it failed for will not be mended sooner.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Weight of one that is warmed among machines that run: it takes what they leave.
const WEIGHT: u32 = 1;

/// Virtual machines that wait for a run.
#[derive(Debug)]
pub(crate) struct WarmPool {
    low_watermark: usize,
    high_watermark: usize,
    state: Mutex<State>,
    /// Held by whoever warms.
    turn: Mutex<()>,
    counts: Counts,
}

/// One that waits.
#[derive(Debug)]
pub(crate) struct WarmVm {
    shape: Shape,
    tap: Tap,
    shim: ShimProcess,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<WarmVm>,
    /// The last one first.
    wanted: Vec<Shape>,
    failed_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    warmed: AtomicU64,
    warmed_us: AtomicU64,
    failed: AtomicU64,
}

/// How the pool has fared since this process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmStats {
    /// How many wait.
    pub n_waiting: u64,
    /// Starts that found one.
    pub hits: u64,
    /// Starts that found none.
    pub misses: u64,
    /// How many were warmed.
    pub warmed: u64,
    /// What that took in all.
    pub warmed_for: Duration,
    /// Attempts that failed.
    pub failed: u64,
}

impl WarmPool {
    /// An empty one. Two zeros keep it so.
    pub(crate) fn new((low_watermark, high_watermark): (u16, u16)) -> Self {
        Self {
            low_watermark: low_watermark.into(),
            high_watermark: high_watermark.into(),
            state: Mutex::default(),
            turn: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// One of this shape, if one waits and lives.
    pub(crate) fn take(&self, shape: Shape) -> Option<WarmVm> {
        self.want(shape);
        let taken = loop {
            let mut state = self.lock();
            let Some(at) = state.waiting.iter().position(|vm| vm.shape == shape) else {
                break None;
            };
            let mut vm = state.waiting.swap_remove(at);
            drop(state);
            match vm.shim.child.try_wait() {
                Ok(None) => break Some(vm),
                // Its tap is nobody's, and is found when this process begins anew.
                Ok(Some(_)) | Err(_) => tracing::warn!(%shape, "a warm virtual machine has ended"),
            }
        };
        let count = if taken.is_some() { &self.counts.hits } else { &self.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
        taken
    }

    /// Takes one back that was not used.
    pub(crate) fn put_back(&self, vm: WarmVm) {
        self.lock().waiting.push(vm);
    }

    /// Machines of this shape are likely to start.
    pub(crate) fn want(&self, shape: Shape) {
        let mut state = self.lock();
        state.wanted.retain(|other| *other != shape);
        state.wanted.insert(0, shape);
        state.wanted.truncate(SHAPES_MAX);
    }

    /// How it fares.
    pub(crate) fn stats(&self) -> WarmStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        WarmStats {
            n_waiting: u64::try_from(self.lock().waiting.len()).unwrap_or(u64::MAX),
            hits: read(&self.counts.hits),
            misses: read(&self.counts.misses),
            warmed: read(&self.counts.warmed),
            warmed_for: Duration::from_micros(read(&self.counts.warmed_us)),
            failed: read(&self.counts.failed),
        }
    }

    /// Warms what is wanted and missing, and ends what is not wanted. Blocking: seconds.
    pub(crate) fn refill(&self, inner: &Inner) {
        while self.high_watermark > 0 && (self.missing().is_some() || self.has_unwanted()) {
            // Whoever has the turn looks once more before leaving.
            let Ok(_turn) = self.turn.try_lock() else { return };
            self.end_unwanted(inner);
            while let Some(shape) = self.missing() {
                if let Err(error) = self.fill(inner, shape) {
                    tracing::warn!(%shape, %error, "a virtual machine could not be warmed");
                    self.counts.failed.fetch_add(1, Ordering::Relaxed);
                    self.lock().failed_at = Some(Instant::now());
                }
            }
        }
    }

    /// Forgets shapes that no machine has and ends what waits for one of them; wants those that most have
    /// if it knows of none. Blocking.
    pub(crate) fn look(&self, inner: &Inner) -> Result<(), ControlError> {
        let all = MachineFilter::default();
        let machines = inner.store.read(|reader| reader.machine_summaries(&all))?;
        let of_vms = machines.iter().filter(|machine| {
            machine.engine == EngineKind::Microvm && machine.state != "destroying"
        });
        let mut counted: BTreeMap<String, (usize, Shape)> = BTreeMap::new();
        for machine in of_vms {
            let shape = inner.vms.shape_of(&inner.disks, machine.guest)?;
            counted.entry(shape.to_string()).or_insert((0, shape)).0 += 1;
        }
        let mut shapes: Vec<(usize, Shape)> = counted.into_values().collect();
        shapes.sort_by_key(|(n_machines, _)| std::cmp::Reverse(*n_machines));
        let mut state = self.lock();
        state.wanted.retain(|shape| shapes.iter().any(|(_, other)| other == shape));
        if state.wanted.is_empty() {
            state.wanted.extend(shapes.iter().map(|(_, shape)| *shape).take(SHAPES_MAX));
        }
        drop(state);
        self.end_unwanted(inner);
        Ok(())
    }

    /// A shape of which too few wait.
    fn missing(&self) -> Option<Shape> {
        let state = self.lock();
        if state.failed_at.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return None;
        }
        state.wanted.iter().copied().find(|shape| count(&state, *shape) < self.low_watermark)
    }

    fn has_unwanted(&self) -> bool {
        let state = self.lock();
        state.waiting.iter().any(|vm| !state.wanted.contains(&vm.shape))
    }

    fn end_unwanted(&self, inner: &Inner) {
        let mut state = self.lock();
        let State { waiting, wanted, .. } = &mut *state;
        let unwanted: Vec<_> = waiting.extract_if(.., |vm| !wanted.contains(&vm.shape)).collect();
        drop(state);
        for vm in unwanted {
            vm.end(inner);
        }
    }

    fn fill(&self, inner: &Inner, shape: Shape) -> Result<(), ControlError> {
        let n_waiting = count(&self.lock(), shape);
        for _ in n_waiting..self.high_watermark {
            let began = Instant::now();
            let vm = WarmVm::make(inner, shape)?;
            let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.counts.warmed.fetch_add(1, Ordering::Relaxed);
            self.counts.warmed_us.fetch_add(took_us, Ordering::Relaxed);
            self.lock().waiting.push(vm);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(state: &State, shape: Shape) -> usize {
    state.waiting.iter().filter(|vm| vm.shape == shape).count()
}

impl WarmVm {
    /// Its tap and its shim, for a run.
    pub(crate) fn into_parts(self) -> (Tap, ShimProcess) {
        (self.tap, self.shim)
    }

    /// Its tap.
    pub(crate) const fn tap(&self) -> &Tap {
        &self.tap
    }

    fn make(inner: &Inner, shape: Shape) -> Result<Self, ControlError> {
        let tap = inner.slots.taps().take()?;
        match warmed_shim(inner, shape, &tap) {
            Ok(shim) => Ok(Self { shape, tap, shim }),
            Err(error) => {
                give_back(inner, tap);
                Err(error)
            }
        }
    }

    /// Ends it. Blocking.
    pub(crate) fn end(self, inner: &Inner) {
        end_shim(self.shim);
        give_back(inner, self.tap);
    }
}

fn warmed_shim(inner: &Inner, shape: Shape, tap: &Tap) -> Result<ShimProcess, ControlError> {
    let spec = WarmSpec {
        monitor: inner.vms.monitor(inner, &Base::New(shape), tap.id())?,
        limits: Limits {
            ram_bytes: shape.ram_bytes(),
            cpu_milli: shape.n_cpus * 1000,
            cpu_weight: WEIGHT,
            pids: orders::PIDS_MAX,
        },
        rehearsal: inner.vms.rehearsal(&inner.disks)?,
    };
    let shim = inner.shims.take().map_err(|error| failed("spawn its shim")(error))?;
    match order(&shim.socket, spec) {
        Ok(()) => Ok(shim),
        Err(error) => {
            end_shim(shim);
            Err(error)
        }
    }
}

/// Has a shim warm one, and waits until it has.
fn order(socket: &UnixStream, spec: WarmSpec) -> Result<(), ControlError> {
    let deadline = Instant::now() + WARM_WITHIN;
    let copy = socket.try_clone().map_err(failed("use its shim's socket"))?;
    let mut shim = Connection::new(copy, 0).map_err(failed("use its shim's socket"))?;
    shim.send(&ToShim::Warm(Box::new(spec))).map_err(failed("order it"))?;
    loop {
        if let Some(frame) = shim.next_frame().map_err(super::failed("hear its shim"))? {
            return match frame.message() {
                Ok(FromShim::Warmed { .. }) => Ok(()),
                Ok(FromShim::WarmFailed { message }) => Err(ControlError::Vm { message }),
                _ => Err(failed("hear its shim")(io::ErrorKind::InvalidData.into())),
            };
        }
        shim.wait_readable(deadline).map_err(failed("wait for it"))?;
        if shim.fill().map_err(failed("hear its shim"))? == Filled::Closed {
            return Err(failed("hear its shim")(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// Lets a shim without a run end: it does when nobody holds its socket.
fn end_shim(shim: ShimProcess) {
    let ShimProcess { socket, mut child } = shim;
    drop(socket);
    if let Err(error) = child.wait() {
        tracing::warn!(%error, "a shim could not be waited for");
    }
}

fn give_back(inner: &Inner, tap: Tap) {
    let id = tap.id();
    if let Err(error) = inner.slots.taps().give_back(tap) {
        tracing::warn!(slot = %id, %error, "a tap was discarded");
    }
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> ControlError {
    super::failed(doing)
}
