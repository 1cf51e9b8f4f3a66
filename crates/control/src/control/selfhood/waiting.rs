//! Long polls: each subscribes first and looks second, so that nothing is missed.

use super::super::{Answer, Control};
use crate::error::ControlError;
use crate::facade::Notice;
use crate::machine::Command;
use crate::watch::Waiter;
use govern::TraceEntry;
use model::MachineId;
use std::time::Duration;
use tokio::time::Instant;

/// Longest time that anybody waits in one call: what lies between may cut an idle connection after a
/// minute.
const POLL_MAX: Duration = Duration::from_secs(60);

/// Callers that wait for changes of one machine's self at once: each change wakes them all, and each
/// then looks.
const WAITERS_MAX: usize = 128;

/// As [`WAITERS_MAX`], with those that wait for messages: that is for the machine itself, which
/// others must not keep from it.
const WITH_TAKERS_MAX: usize = 2 * WAITERS_MAX;

impl Control {
    /// Somebody who sees changes, unless `most` do.
    fn watch_self(&self, id: &MachineId, most: usize) -> Answer<Waiter> {
        let changes = self.inner.self_watchers.subscribe_within(id, most);
        changes.ok_or_else(|| ControlError::Busy { machine: id.clone(), queued: most })
    }

    /// Waits until the revision of the machine's self is greater than `after_revision`, or until
    /// the time is over; the revision then.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Busy`].
    pub async fn self_wait(
        &self,
        id: &MachineId,
        after_revision: u64,
        timeout: Duration,
    ) -> Answer<u64> {
        let deadline = Instant::now() + timeout.min(POLL_MAX);
        let mut changes = self.watch_self(id, WAITERS_MAX)?;
        loop {
            self.live(id)?;
            let record = self.inner.store.read(|reader| reader.selfhood(id))?;
            let revision = record.map_or(0, |record| record.revision);
            let is_over = revision > after_revision
                || tokio::time::timeout_at(deadline, changes.changed()).await.is_err();
            if is_over {
                return Ok(revision);
            }
        }
    }

    /// Waits until a message can be delivered, or until the time is over.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Busy`].
    pub async fn self_wait_messages(&self, id: &MachineId, timeout: Duration) -> Answer<()> {
        let deadline = Instant::now() + timeout.min(POLL_MAX);
        let mut changes = self.watch_self(id, WITH_TAKERS_MAX)?;
        loop {
            self.live(id)?;
            let Some(wait) = self.next_delivery(id)? else { return Ok(()) };
            let until = deadline.min(Instant::now() + wait);
            let has_changed = tokio::time::timeout_at(until, changes.changed()).await.is_ok();
            if !has_changed && until == deadline {
                return Ok(());
            }
        }
    }

    /// How long until a message can be delivered again, if nothing new comes; `None`: one can now.
    fn next_delivery(&self, id: &MachineId) -> Answer<Option<Duration>> {
        let now = model::clock::now();
        let wait = match self.inner.store.read(|reader| reader.messages_hidden(id))? {
            None => POLL_MAX,
            // A hiding longer than any means that the clock went back.
            Some((_, last)) if last.since(now) > govern::limits::REDELIVER_AFTER => Duration::ZERO,
            Some((first, _)) => first.since(now).to_std(),
        };
        Ok((wait > Duration::ZERO).then_some(wait))
    }

    /// As [`Control::self_trace`], waiting until there is an entry after `after` or the time is over.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Busy`].
    pub async fn self_trace_wait(
        &self,
        id: &MachineId,
        after: u64,
        limit: u32,
        timeout: Duration,
    ) -> Answer<Vec<TraceEntry>> {
        let deadline = Instant::now() + timeout.min(POLL_MAX);
        let mut changes = self.watch_self(id, WAITERS_MAX)?;
        loop {
            let entries = self.self_trace(id, after, limit)?;
            let is_over = !entries.is_empty()
                || tokio::time::timeout_at(deadline, changes.changed()).await.is_err();
            if is_over {
                return Ok(entries);
            }
        }
    }

    /// Waits, for the machine itself, until a rest is coming; `None` when the time is over. While
    /// such a call is open, rests by rule are told first.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn self_notice(&self, id: &MachineId, timeout: Duration) -> Answer<Option<Notice>> {
        self.live(id)?;
        let asked = self.ask(id, |reply| Command::Notices { reply });
        match tokio::time::timeout(timeout.min(POLL_MAX), asked).await {
            Ok(notice) => notice.map(Some),
            Err(_elapsed) => Ok(None),
        }
    }
}
