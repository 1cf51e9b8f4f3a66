//! Following what happens to machines, as it happens.

use super::{Answer, Control};
use crate::error::ControlError;
use model::{EventId, State};
use std::sync::Arc;
use std::time::Duration;
use store::{EVENT_PAGE_MAX, EventRecord, EventsOf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Followers at a time: each holds a connection of the API, which has a thousand.
pub(crate) const FOLLOWERS_MAX: usize = 128;

/// Followers from inside machines at a time, whose own they are: no machine keeps the outside away.
pub(crate) const FOLLOWERS_INSIDE_MAX: usize = 32;

/// Followers look at most this often, however much happens elsewhere: nobody notices a delay of this
/// length, and a hundred of them cost little.
const PAUSE: Duration = Duration::from_millis(20);

/// Places of those who follow events.
#[derive(Debug)]
pub(crate) struct FollowerPlaces {
    outside: Arc<Semaphore>,
    inside: Arc<Semaphore>,
}

impl Default for FollowerPlaces {
    fn default() -> Self {
        Self {
            outside: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            inside: Arc::new(Semaphore::new(FOLLOWERS_INSIDE_MAX)),
        }
    }
}

impl FollowerPlaces {
    fn take(&self, is_inside: bool) -> Answer<OwnedSemaphorePermit> {
        let (places, n_now) = match is_inside {
            true => (&self.inside, FOLLOWERS_INSIDE_MAX),
            false => (&self.outside, FOLLOWERS_MAX),
        };
        let taken = Arc::clone(places).try_acquire_owned();
        taken.map_err(|_none_left| ControlError::TooManyFollowers { n_now })
    }
}

/// Somebody who follows events.
#[derive(Debug)]
pub struct EventFollower {
    control: Control,
    of: EventsOf,
    /// The place of the last one it has seen.
    after: u64,
    bell: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Control {
    /// Follows events from now on, or from the one after `last` on: if that one is not kept any more,
    /// from the oldest one that is. Machines that follow have places of their own.
    ///
    /// # Errors
    /// [`ControlError::TooManyFollowers`].
    pub fn follow_events(
        &self,
        of: EventsOf,
        last: Option<&EventId>,
        is_inside: bool,
    ) -> Answer<EventFollower> {
        let place = self.inner.followers.take(is_inside)?;
        let bell = self.inner.news.subscribe();
        let after = self.inner.store.read(|reader| match last {
            Some(last) => Ok(reader.event_place(last)?.unwrap_or(0)),
            None => reader.last_event_place(),
        })?;
        Ok(EventFollower { control: self.clone(), of, after, bell, _place: place })
    }

    /// Events of an app's machines, newest first, at most 50.
    ///
    /// # Errors
    /// What the store said.
    pub fn events_of_app(&self, app: &model::AppName, limit: usize) -> Answer<Vec<EventRecord>> {
        let limit = u32::try_from(limit).unwrap_or(EVENT_PAGE_MAX);
        Ok(self.inner.store.read(|reader| reader.events_of_app(app, limit))?)
    }
}

impl EventFollower {
    /// What has happened since the last call, oldest first, as soon as there is anything; nothing when
    /// nothing more will come.
    ///
    /// # Errors
    /// What the store said.
    pub async fn next(&mut self) -> Answer<Vec<EventRecord>> {
        loop {
            // What comes after this look rings again.
            self.bell.mark_unchanged();
            let is_over = self.is_over()?;
            let store = &self.control.inner.store;
            let found =
                store.read(|reader| reader.events_from(&self.of, self.after, EVENT_PAGE_MAX))?;
            if let Some((place, _)) = found.last() {
                self.after = *place;
                return Ok(found.into_iter().map(|(_, event)| event).collect());
            }
            if is_over || self.bell.changed().await.is_err() {
                return Ok(Vec::new());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether nothing more can happen: the machine is destroyed, the app is gone.
    fn is_over(&self) -> Answer<bool> {
        let store = &self.control.inner.store;
        Ok(match &self.of {
            EventsOf::Machine(machine) => {
                let record = store.read(|reader| reader.machine(machine))?;
                record.is_none_or(|record| matches!(record.machine.state, State::Destroyed { .. }))
            }
            EventsOf::App(app) => store.read(|reader| reader.app(app))?.is_none(),
        })
    }
}
