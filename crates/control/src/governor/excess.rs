//! Machines that are up beyond what their app's visitors need.
//!
//! Of the machines of an app that are up and that their services put to rest, `n` in all, as many as
//! are above their soft limit are needed, and one more. If that leaves some, the least pressed one is
//! the one too many; when that has lasted for its idle timeout it goes, and the count begins anew.
//! Source: machines-api 4.4.
//!
//! One lock. The proxy's is taken within it, never the other way round.

use crate::proxy::Press;
use model::{AppName, MachineId, UnixMs};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Apps with machines that their services put to rest.
#[derive(Debug, Default)]
pub(super) struct Excess {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    apps: HashMap<AppName, App>,
    app_of: HashMap<MachineId, AppName>,
}

#[derive(Debug, Default)]
struct App {
    machines: BTreeMap<MachineId, Member>,
    /// Since when there is one too many, and which.
    surplus: Option<(UnixMs, MachineId)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Member {
    is_up: bool,
    /// Its services put it to rest.
    rests: bool,
}

impl Excess {
    /// The machine's program runs, or does not. Returns who is one too many now and was not before.
    pub(super) fn set_up(
        &self,
        id: &MachineId,
        app: &AppName,
        is_up: bool,
        now: UnixMs,
        press: impl Fn(&MachineId) -> Option<Press>,
    ) -> Option<MachineId> {
        self.change(id, app, now, press, |member| member.is_up = is_up)
    }

    /// Its services put it to rest, or do not. As [`Excess::set_up`].
    pub(super) fn set_rests(
        &self,
        id: &MachineId,
        app: &AppName,
        rests: bool,
        now: UnixMs,
        press: impl Fn(&MachineId) -> Option<Press>,
    ) -> Option<MachineId> {
        self.change(id, app, now, press, |member| member.rests = rests)
    }

    /// The machine is more pressed, or less. As [`Excess::set_up`].
    pub(super) fn pressed(
        &self,
        id: &MachineId,
        now: UnixMs,
        press: impl Fn(&MachineId) -> Option<Press>,
    ) -> Option<MachineId> {
        let mut book = self.lock();
        let name = book.app_of.get(id)?.clone();
        book.apps.get_mut(&name)?.weigh(now, press)
    }

    /// Since when the machine has been the one too many of its app.
    pub(super) fn since(&self, id: &MachineId) -> Option<UnixMs> {
        let book = self.lock();
        let (since, which) = book.apps.get(book.app_of.get(id)?)?.surplus.as_ref()?;
        (which == id).then_some(*since)
    }

    /// The machine could not go: the count begins anew.
    pub(super) fn put_off(&self, id: &MachineId, now: UnixMs) {
        let mut book = self.lock();
        let Some(name) = book.app_of.get(id).cloned() else { return };
        if let Some((since, _)) = book.apps.get_mut(&name).and_then(|app| app.surplus.as_mut()) {
            *since = now;
        }
    }

    /// The wall clock has jumped to `now`: nothing has lasted.
    pub(super) fn clock_jumped(&self, now: UnixMs) {
        for app in self.lock().apps.values_mut() {
            if let Some((since, _)) = &mut app.surplus {
                *since = now;
            }
        }
    }

    /// The machine is gone.
    pub(super) fn forget(&self, id: &MachineId) {
        let mut book = self.lock();
        let Some(name) = book.app_of.remove(id) else { return };
        if let Some(app) = book.apps.get_mut(&name) {
            app.machines.remove(id);
            app.surplus = None;
            if app.machines.is_empty() {
                book.apps.remove(&name);
            }
        }
    }

    fn change(
        &self,
        id: &MachineId,
        name: &AppName,
        now: UnixMs,
        press: impl Fn(&MachineId) -> Option<Press>,
        change: impl FnOnce(&mut Member),
    ) -> Option<MachineId> {
        let mut book = self.lock();
        let known = book.apps.get(name).and_then(|app| app.machines.get(id)).copied();
        let mut member = known.unwrap_or_default();
        change(&mut member);
        if member == known.unwrap_or_default() {
            return None;
        }
        let app = book.apps.entry(name.clone()).or_default();
        // Others are up now: what has lasted, lasted with those that were.
        app.surplus = None;
        if member == Member::default() {
            app.machines.remove(id);
        } else {
            app.machines.insert(id.clone(), member);
        }
        let chosen = app.weigh(now, press);
        if app.machines.is_empty() {
            book.apps.remove(name);
        }
        if member == Member::default() {
            book.app_of.remove(id);
        } else {
            book.app_of.insert(id.clone(), name.clone());
        }
        chosen
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// Finds out who is one too many; returns it when it is another one than before.
    fn weigh(
        &mut self,
        now: UnixMs,
        press: impl Fn(&MachineId) -> Option<Press>,
    ) -> Option<MachineId> {
        let found = self.one_too_many(press);
        let before = self.surplus.take();
        let (which, counted_since) = found?;
        // Who is least pressed may change; that there is one too many has lasted all the same.
        let since = before.as_ref().map_or(now, |(since, _)| *since).max(counted_since);
        let is_other = before.is_none_or(|(_, id)| id != which);
        self.surplus = Some((since, which.clone()));
        is_other.then_some(which)
    }

    /// Nobody is while nobody can say how pressed they are.
    fn one_too_many(
        &self,
        press: impl Fn(&MachineId) -> Option<Press>,
    ) -> Option<(MachineId, UnixMs)> {
        let members = self.machines.iter().filter(|(_, member)| member.is_up && member.rests);
        let pressed = members.map(|(id, _)| Some((id, press(id)?)));
        let pressed: Vec<(&MachineId, Press)> = pressed.collect::<Option<_>>()?;
        let n_over = pressed.iter().filter(|(_, press)| press.is_over_soft).count();
        if pressed.len() <= n_over + 1 {
            return None;
        }
        let below = pressed.into_iter().filter(|(_, press)| !press.is_over_soft);
        let (least, press) = below.min_by_key(|(id, press)| (press.n, (*id).clone()))?;
        Some((least.clone(), press.counted_since))
    }
}

#[cfg(test)]
mod tests;
