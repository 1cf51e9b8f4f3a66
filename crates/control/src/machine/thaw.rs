//! Making a frozen machine go on.
//!
//! A thaw holds nothing on the host, and when control dies the shim says whether the machine runs: so
//! it comes before the commit of its intent. A shim mostly answers at once, and then intent and outcome
//! are one commit; of one that does not the intent is stored while it thaws. What cannot be stored is
//! frozen again.

use super::task::Task;
use crate::shim::LinkEvent;
use model::{Depth, Effect, Event, Run, RunId};
use shim_proto::message::Timing;
use shim_proto::{FromShim, ToShim};
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait for a shim's answer with the intent not stored: a thaw takes a millisecond or two.
const ANSWER_MAX: Duration = Duration::from_millis(20);

/// What is under way of thaws.
#[derive(Debug, Default)]
pub(super) struct Thaws {
    /// The run that goes on before this is stored.
    ahead: Option<Ahead>,
    /// Answers to expect that say nothing of how it is: it is frozen again right after them.
    n_taken_back: u32,
}

#[derive(Debug)]
struct Ahead {
    run: RunId,
    /// The shim has answered.
    is_heard: bool,
}

impl Thaws {
    /// The shim has answered a thaw. Whether the machine goes on by it.
    pub(super) fn heard(&mut self) -> bool {
        match self.n_taken_back.checked_sub(1) {
            Some(n_left) => {
                self.n_taken_back = n_left;
                false
            }
            None => true,
        }
    }
}

impl Task {
    /// For a thaw among the effects of a step that is about to be committed. What the shim says of it,
    /// if it does so at once.
    pub(super) async fn begin_thaw(&mut self, effects: &[Effect]) -> Option<Event> {
        let run = effects.iter().find_map(thawed).filter(|_| self.link.is_some())?.id.clone();
        let began = Instant::now();
        self.tell_run(&run, &ToShim::Thaw);
        failpoint::hit("machine.thaw_ahead");
        let is_heard = self.hears_of_thaw(began + ANSWER_MAX).await;
        self.thaws.ahead = Some(Ahead { run: run.clone(), is_heard });
        if !is_heard {
            return None;
        }
        failpoint::hit("machine.thawed_ahead");
        let us = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.timings.add_of_shim(vec![Timing { part: "thaw".to_owned(), us }]);
        Some(Event::Woke { run })
    }

    /// Whether the shim says by then that the machine goes on. Other news of it ends the wait, and is
    /// heard in its turn.
    async fn hears_of_thaw(&mut self, deadline: Instant) -> bool {
        let Some(link) = self.link.as_mut() else { return false };
        loop {
            match tokio::time::timeout_at(deadline, link.next()).await {
                Ok(LinkEvent::Message(FromShim::Thawed)) if self.thaws.heard() => return true,
                // Of a thaw that was taken back.
                Ok(LinkEvent::Message(FromShim::Thawed)) => {}
                Ok(other) => {
                    link.put_back(other);
                    return false;
                }
                Err(_) => return false,
            }
        }
    }

    /// The intent was not stored.
    pub(super) fn take_thaw_back(&mut self) {
        if let Some(Ahead { run, is_heard }) = self.thaws.ahead.take() {
            self.thaws.n_taken_back += u32::from(!is_heard);
            self.tell_run(&run, &ToShim::Freeze);
        }
    }

    /// The intent is stored.
    pub(super) fn finish_thaw(&mut self, run: &RunId) {
        if self.thaws.ahead.take().is_none_or(|ahead| ahead.run != *run) {
            self.tell_run(run, &ToShim::Thaw);
        }
    }
}

const fn thawed(effect: &Effect) -> Option<&Run> {
    match effect {
        Effect::Wake { run, depth: Depth::Freeze } => Some(run),
        _ => None,
    }
}
