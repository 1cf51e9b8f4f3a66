//! Rests that a machine is told of before they happen: it holds a call open to hear of them.

use crate::facade::Notice;
use crate::machine::Reply;
use crate::machine::answers::answer_to;
use crate::machine::task::Task;
use govern::limits::VETOES_MAX;
use model::{State, UnixMs};

/// Calls of one machine that wait for notices: one is enough, a few are programs that do not know of
/// each other.
const NOTICES_MAX: usize = 16;

/// Those inside a machine who wait to be told of a rest.
#[derive(Debug, Default)]
pub(in crate::machine) struct Notices {
    waiting: Vec<Reply<Notice>>,
    /// The deadline of the last rest that was told: it is told once.
    told: Option<UnixMs>,
}

impl Notices {
    /// Whether anybody waits.
    pub(super) fn is_open(&mut self) -> bool {
        self.waiting.retain(|reply| !reply.is_closed());
        !self.waiting.is_empty()
    }

    fn wait(&mut self, reply: Reply<Notice>) {
        if self.is_open() && self.waiting.len() >= NOTICES_MAX {
            // The oldest ends as if its time were over: it may ask again.
            drop(self.waiting.remove(0));
        }
        self.waiting.push(reply);
    }

    fn tell(&mut self, notice: &Notice) {
        if self.waiting.is_empty() || self.told == Some(notice.deadline) {
            return;
        }
        self.told = Some(notice.deadline);
        for reply in self.waiting.drain(..) {
            answer_to(reply, Ok(notice.clone()));
        }
    }
}

impl Task {
    /// Somebody inside waits for notices; told at once when a rest is coming already.
    pub(in crate::machine) fn wait_for_notice(&mut self, reply: Reply<Notice>) {
        self.notices.wait(reply);
        if let State::Resting { deadline, .. } = self.state() {
            let deadline = *deadline;
            self.tell_notice(deadline);
        }
    }

    /// Tells those who wait of the rest that is coming.
    pub(in crate::machine) fn tell_notice(&mut self, deadline: UnixMs) {
        let State::Resting { rest, vetoes, .. } = self.state() else { return };
        let vetoes_left = VETOES_MAX.saturating_sub(*vetoes);
        let notice = Notice { rest: rest.clone(), deadline, vetoes_left };
        self.notices.tell(&notice);
    }
}
