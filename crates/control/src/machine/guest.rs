//! What is asked of a machine that runs: its shim and its init answer.

use super::Reply;
use super::answers::answer_to;
use super::task::Task;
use crate::error::ControlError;
use crate::facade::ExecStream;
use guest_proto::ToGuest;
use guest_proto::message::{Answer, ExecOrders, Question};
use model::admit::Asked;
use model::admit::calls::Call;
use model::{Cause, Refused, State};
use shim_proto::ToShim;

impl Task {
    pub(super) fn signal(&mut self, signal: i32, cause: &Cause) -> Result<(), ControlError> {
        self.allow(Call::Guest, cause, model::clock::now())?;
        self.send(&ToShim::Guest(ToGuest::Signal { signal }))
    }

    pub(super) fn ask(&mut self, question: Question, reply: Reply<Answer>) {
        if self.is_asleep() {
            return answer_to(reply, Err(self.not_running()));
        }
        let id = self.next_question;
        self.next_question += 1;
        match self.send(&ToShim::Guest(ToGuest::Ask { id, question })) {
            Ok(()) => drop(self.asks.insert(id, reply)),
            Err(error) => answer_to(reply, Err(error)),
        }
    }

    pub(super) fn usage(&mut self, reply: Reply<shim_proto::message::Usage>) {
        let id = self.next_question;
        self.next_question += 1;
        match self.send(&ToShim::Usage { id }) {
            Ok(()) => drop(self.usages.insert(id, reply)),
            Err(error) => answer_to(reply, Err(error)),
        }
    }

    pub(super) fn exec(
        &mut self,
        orders: ExecOrders,
        cause: &Cause,
    ) -> Result<ExecStream, ControlError> {
        self.allow(Call::Guest, cause, model::clock::now())?;
        let Some((stream, attached)) = self.streams.open_exec() else {
            return Err(ControlError::TooManyStreams { n_running: self.streams.n_exec() });
        };
        if let Err(error) = self.send(&ToShim::Guest(ToGuest::Exec { stream, exec: orders })) {
            self.streams.forget(stream);
            return Err(error);
        }
        Ok(attached)
    }

    /// Whether nobody is there to answer, although there is a shim: its init sleeps with the rest.
    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.state(), State::Suspending { .. } | State::Suspended { .. })
    }

    /// Refuses what was asked before the machine fell asleep or ended.
    pub(super) fn refuse_questions(&mut self) {
        for (_, reply) in std::mem::take(&mut self.asks) {
            answer_to(reply, Err(self.not_running()));
        }
    }

    fn not_running(&self) -> ControlError {
        let state = self.state().api_name();
        ControlError::Refused(Refused::State { state, asked: Asked::Guest })
    }

    /// Sends to the shim; an error when the machine does not run.
    pub(super) fn send(&mut self, message: &ToShim) -> Result<(), ControlError> {
        let Some(link) = self.link.as_mut() else { return Err(self.not_running()) };
        link.send(message).map_err(|error| ControlError::Shim {
            message: format!("the machine's shim cannot be reached: {error}"),
        })
    }
}
