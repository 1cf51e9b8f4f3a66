//! Making a frozen machine go on.
//!
//! A thaw holds nothing on the host, and when control dies the shim says whether the machine runs:
//! so it goes on while the intent goes to the disk. One whose intent cannot be stored is frozen again.

use super::task::Task;
use model::{Depth, Effect, Run, RunId};
use shim_proto::ToShim;

/// What is under way of thaws.
#[derive(Debug, Default)]
pub(super) struct Thaws {
    /// The run that goes on while this is being stored.
    ahead: Option<RunId>,
    /// Answers to expect that say nothing of how it is: it is frozen again right after them.
    n_taken_back: u32,
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
    /// For a thaw among the effects of a step that is about to be committed.
    pub(super) fn begin_thaw(&mut self, effects: &[Effect]) {
        if self.link.is_none() {
            return;
        }
        if let Some(run) = effects.iter().find_map(thawed) {
            self.tell_run(&run.id, &ToShim::Thaw);
            self.thaws.ahead = Some(run.id.clone());
            failpoint::hit("machine.thaw_ahead");
        }
    }

    /// The intent was not stored.
    pub(super) fn take_thaw_back(&mut self) {
        if let Some(run) = self.thaws.ahead.take() {
            self.thaws.n_taken_back += 1;
            self.tell_run(&run, &ToShim::Freeze);
        }
    }

    /// The intent is stored.
    pub(super) fn finish_thaw(&mut self, run: &RunId) {
        if self.thaws.ahead.take().is_none_or(|ahead| ahead != *run) {
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
