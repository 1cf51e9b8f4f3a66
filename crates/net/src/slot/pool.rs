//! The pool: which slots are free, taken, left over, or still to be made.
//!
//! Taps have their numbers from here too (see [`crate::tap`]), so that a number is in use once,
//! whatever it stands for.

use super::make::{self, Pins};
use super::{MAX_SLOTS, Slot, assign, number_in, tcp};
use crate::addr::MachineAddrs;
use crate::error::{Error, Result, at};
use crate::instance::InstanceNamespaces;
use crate::namespace::OWN_NET;
use crate::router::Router;
use crate::{namespace, pin};
use model::SlotId;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the pool needs to know.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Program that calls [`super::hold_main`] when its first argument is
    /// [`super::HOLD_ARGUMENT`].
    pub helper: PathBuf,
    /// Fewer free slots than this and [`SlotPool::refill`] makes more.
    pub low_watermark: u16,
    /// Free slots that [`SlotPool::refill`] stops at.
    ///
    /// Slots given back above it stay free: deleting them would hold up other network work.
    pub high_watermark: u16,
}

/// How the pool has done since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Slots taken that were free.
    pub hits: u64,
    /// Slots taken that had to be made first.
    pub misses: u64,
    /// Slots free now.
    pub n_free: usize,
    /// Slots and taps that exist in any way now, those being made included.
    pub n_all: usize,
}

/// All slots of an instance, and the numbers of its taps.
///
/// Shared by all threads; the inner lock is held for look-ups only, never while a slot is made.
#[derive(Debug)]
pub struct SlotPool {
    router: Arc<Router>,
    pins: PathBuf,
    config: PoolConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Slot>,
    /// Numbers in use by anything: free, taken, being made, unclaimed.
    numbers: BTreeSet<SlotId>,
    /// Slots and taps of an earlier daemon that nobody has adopted or removed.
    unclaimed: BTreeSet<SlotId>,
    /// Free slots to be: those that [`SlotPool::refill`] is making now.
    n_refilling: usize,
    hits: u64,
    misses: u64,
}

impl SlotPool {
    /// Opens the pool; slots and taps of an earlier daemon are listed as unclaimed.
    ///
    /// # Errors
    /// [`Error::Path`] when the pins cannot be listed, [`Error::Netlink`] when the links cannot.
    pub fn open(
        instance: &InstanceNamespaces,
        router: Arc<Router>,
        config: PoolConfig,
    ) -> Result<Self> {
        let pins = instance.pins();
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&pins).map_err(at("list", &pins))? {
            let entry = entry.map_err(at("list", &pins))?;
            found.extend(entry.file_name().to_str().and_then(Pins::owner));
        }
        // A tap has no pin, and a crash may have left either without the other.
        let links = netlink::link_names(&mut router.socket())?;
        found.extend(links.iter().filter_map(|name| number_in(router.tag(), name)));
        let state = State { numbers: found.clone(), unclaimed: found, ..State::default() };
        Ok(Self { router, pins, config, state: Mutex::new(state) })
    }

    /// A free slot; made on the spot (a miss, some milliseconds) when there is none.
    ///
    /// # Errors
    /// [`Error::NoFreeSlot`] at the bound, or why the slot could not be made.
    pub fn take(&self) -> Result<Slot> {
        {
            let mut state = self.state();
            if let Some(slot) = state.free.pop() {
                state.hits += 1;
                return Ok(slot);
            }
            state.misses += 1;
        }
        self.make()
    }

    /// Puts a machine's addresses on a slot and routes to it into the router.
    ///
    /// The start path: two system calls in the slot, two in the router. Repeating it is harmless;
    /// addresses of another machine are taken off first.
    ///
    /// # Errors
    /// [`Error::Netlink`]; the slot may carry part of the addresses and can be assigned again,
    /// unassigned or given back.
    pub fn assign(&self, slot: &mut Slot, addrs: &MachineAddrs) -> Result<()> {
        assign::assign(&self.router, slot, addrs)
    }

    /// Takes all addresses off a slot and its routes out of the router.
    ///
    /// # Errors
    /// [`Error::Netlink`]; may be repeated.
    pub fn unassign(&self, slot: &mut Slot) -> Result<()> {
        assign::unassign(&self.router, slot)
    }

    /// Returns a slot whose machine has ended; it is reset and free again.
    ///
    /// Addresses, routes and left-over TCP connections of the machine are gone afterwards. Takes
    /// about half a millisecond that nobody has to wait for: a stop may be answered before it.
    ///
    /// # Errors
    /// [`Error::Netlink`] when it cannot be reset: the slot is then removed, not pooled.
    pub fn give_back(&self, mut slot: Slot) -> Result<()> {
        match self.reset(&mut slot) {
            Ok(()) => {
                self.state().free.push(slot);
                Ok(())
            }
            Err(cause) => {
                let id = slot.id;
                drop(slot);
                self.discard(id)?;
                Err(cause)
            }
        }
    }

    /// Makes slots until the high watermark when fewer than the low watermark are free; gives the
    /// number made. For the background: takes milliseconds for each.
    ///
    /// # Errors
    /// Why a slot could not be made; those made before it are in the pool.
    pub fn refill(&self) -> Result<usize> {
        let (low, high) = (self.config.low_watermark, self.config.high_watermark);
        let mut n_made = 0;
        let mut target = low;
        while self.state().begin_refill(target) {
            let made = self.make();
            let mut state = self.state();
            state.n_refilling -= 1;
            state.free.push(made?);
            n_made += 1;
            target = high;
        }
        Ok(n_made)
    }

    /// Slots and taps of an earlier daemon, whole or not, that nobody has adopted or removed yet.
    ///
    /// Who wants to know which are taps tries: each kind is adopted by its own call alone.
    #[must_use]
    pub fn unclaimed(&self) -> Vec<SlotId> {
        self.state().unclaimed.iter().copied().collect()
    }

    /// Opens an unclaimed slot: of a machine that still runs, or to be given back and reused.
    ///
    /// # Errors
    /// [`Error::SlotNotWhole`] (also of a tap): remove it. [`Error::SlotNotUnclaimed`]: not one of
    /// those.
    pub fn adopt(&self, id: SlotId) -> Result<Slot> {
        self.adopt_by(id, || make::open(&self.router, &self.pins, id))
    }

    /// Removes an unclaimed slot or tap, whole or not. Takes up to 60 ms.
    ///
    /// # Errors
    /// [`Error::SlotNotUnclaimed`] for a slot that is pooled or taken; else what could not be
    /// removed: may be repeated.
    pub fn remove(&self, id: SlotId) -> Result<()> {
        if !self.state().unclaimed.contains(&id) {
            return Err(Error::SlotNotUnclaimed { slot: id });
        }
        self.discard(id)
    }

    /// Where the network and the user namespace of a slot are pinned, for a shim to enter.
    #[must_use]
    pub fn pins_of(&self, id: SlotId) -> (PathBuf, PathBuf) {
        let Pins { net, user } = Pins::of(&self.pins, id);
        (net, user)
    }

    /// Counters and sizes.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let state = self.state();
        PoolStats {
            hits: state.hits,
            misses: state.misses,
            n_free: state.free.len(),
            n_all: state.numbers.len(),
        }
    }

    fn reset(&self, slot: &mut Slot) -> Result<()> {
        self.unassign(slot)?;
        namespace::run_inside(slot.netns(), tcp::end_connections)?
    }

    fn make(&self) -> Result<Slot> {
        self.make_by(|id| make::make(&self.router, &self.pins, &self.config.helper, id))
    }

    /// Has something made under a free number; nothing of it is left when that fails.
    pub(crate) fn make_by<T>(&self, make: impl FnOnce(SlotId) -> Result<T>) -> Result<T> {
        let id = self.state().claim_number().ok_or(Error::NoFreeSlot { max: MAX_SLOTS })?;
        let made = make(id);
        if let Err(cause) = made {
            self.discard(id)?;
            return Err(cause);
        }
        made
    }

    /// Has something opened under an unclaimed number, which is claimed then.
    pub(crate) fn adopt_by<T>(&self, id: SlotId, open: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.state().unclaimed.contains(&id) {
            return Err(Error::SlotNotUnclaimed { slot: id });
        }
        let opened = open()?;
        self.state().unclaimed.remove(&id);
        Ok(opened)
    }

    /// Where the network namespace of the router is pinned.
    #[must_use]
    pub fn router_pin(&self) -> PathBuf {
        crate::router::pin_in(&self.pins)
    }

    /// Where a network namespace without a link is pinned: for what speaks to nobody. Made now if it is
    /// not there.
    ///
    /// # Errors
    /// [`Error::Namespace`] or [`Error::Path`].
    pub fn nowhere(&self) -> Result<PathBuf> {
        let path = self.pins.join("nowhere.net");
        if !pin::is_pin(&path)? {
            namespace::run_in_new_net(|| pin::pin(Path::new(OWN_NET), &path))??;
        }
        Ok(path)
    }

    /// The router that all links lead to.
    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    /// Removes a slot or tap for good; its number is free again only when nothing of it is left.
    pub(crate) fn discard(&self, id: SlotId) -> Result<()> {
        let removed = make::remove(&self.router, &self.pins, id);
        let mut state = self.state();
        if removed.is_ok() {
            state.numbers.remove(&id);
            state.unclaimed.remove(&id);
        } else {
            state.unclaimed.insert(id);
        }
        removed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is a single step, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Announces one more free slot unless there are, or will be, `target` of them.
    fn begin_refill(&mut self, target: u16) -> bool {
        let is_short = self.free.len() + self.n_refilling < usize::from(target);
        self.n_refilling += usize::from(is_short);
        is_short
    }

    /// Claims the lowest free number.
    fn claim_number(&mut self) -> Option<SlotId> {
        let id = (0..MAX_SLOTS).map(SlotId).find(|id| !self.numbers.contains(id))?;
        self.numbers.insert(id);
        Some(id)
    }
}
