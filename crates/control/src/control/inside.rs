//! Inside a running machine: commands, processes, ports, logs.

use super::{Answer, Control};
use crate::error::ControlError;
use crate::facade::{
    EXEC_OUTPUT_MAX_BYTES, ExecInput, ExecOutcome, ExecOutput, ExecRequest, ExecStream, LogLine,
    LogQuery,
};
use crate::machine::Command;
use crate::{logs, orders};
use guest_proto::message::{self, ExecOrders, ListenSocket, Process, Question};
use model::{Cause, MachineId, State};
use std::time::Duration;
use tokio::sync::mpsc;

/// Longest one-shot command. Source: machines-api 1.6, Exec.
const EXEC_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Longest wait for an answer of the guest init to a question.
const ANSWER_MAX: Duration = Duration::from_secs(10);

impl Control {
    /// Runs a command to its end and gives its output.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when the machine does not run, [`ControlError::StartFailed`] when
    /// the command cannot be started, [`ControlError::ExecTimeout`]: it has been killed.
    pub async fn exec(
        &self,
        id: &MachineId,
        cause: Cause,
        what: ExecRequest,
    ) -> Answer<ExecOutcome> {
        let timeout = what.timeout.to_std().min(EXEC_TIMEOUT_MAX);
        let ExecStream { input, output } = self.attach(id, cause, what.orders).await?;
        let feed = async {
            // A command that does not read its input ends this by ending.
            let fed = input.send(ExecInput::Bytes(what.stdin)).await;
            drop(fed.is_ok().then_some(input));
            std::future::pending::<Answer<ExecOutcome>>().await
        };
        let collected = async {
            tokio::select! { never = feed => never, done = collect(output) => done }
        };
        tokio::time::timeout(timeout, collected).await.unwrap_or_else(|_elapsed| {
            let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            Err(ControlError::ExecTimeout { timeout_ms })
        })
    }

    /// Runs a command attached to the caller; dropping the stream kills it.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when the machine does not run.
    pub async fn attach(
        &self,
        id: &MachineId,
        cause: Cause,
        orders: ExecOrders,
    ) -> Answer<ExecStream> {
        self.ask(id, |reply| Command::Exec { orders, cause, reply }).await
    }

    /// The processes of the machine.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when it does not run.
    pub async fn processes(&self, id: &MachineId) -> Answer<Vec<Process>> {
        match self.question(id, Question::Processes).await? {
            message::Answer::Processes { processes } => Ok(processes),
            other => Err(unexpected(&other)),
        }
    }

    /// The listening sockets of the machine.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when it does not run.
    pub async fn listening(&self, id: &MachineId) -> Answer<Vec<ListenSocket>> {
        match self.question(id, Question::Listening).await? {
            message::Answer::Listening { sockets } => Ok(sockets),
            other => Err(unexpected(&other)),
        }
    }

    async fn question(&self, id: &MachineId, question: Question) -> Answer<message::Answer> {
        self.question_within(id, question, ANSWER_MAX).await
    }

    /// As above, with patience of its own.
    pub(crate) async fn question_within(
        &self,
        id: &MachineId,
        question: Question,
        patience: Duration,
    ) -> Answer<message::Answer> {
        let asked = self.ask(id, |reply| Command::Ask { question, reply });
        tokio::time::timeout(patience, asked).await.unwrap_or_else(|_elapsed| {
            Err(ControlError::Shim { message: "the guest init does not answer".to_owned() })
        })
    }

    /// What the machine's run uses now.
    ///
    /// # Errors
    /// [`ControlError::Refused`] when it does not run.
    pub async fn usage_now(&self, id: &MachineId) -> Answer<shim_proto::message::Usage> {
        let asked = self.ask(id, |reply| Command::Usage { reply });
        tokio::time::timeout(ANSWER_MAX, asked).await.unwrap_or_else(|_elapsed| {
            Err(ControlError::Shim { message: "the machine's shim does not answer".to_owned() })
        })
    }

    /// Lines of the machine's log, oldest first; the receiver ends unless `follow`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] for an unknown or destroyed machine, [`ControlError::Host`] when
    /// the log cannot be read.
    pub fn logs(&self, id: &MachineId, query: LogQuery) -> Answer<mpsc::Receiver<LogLine>> {
        if matches!(self.machine(None, id)?.machine.state, State::Destroyed { .. }) {
            return Err(ControlError::NotFound { what: "machine" });
        }
        let path = orders::log_path(&self.inner.disks.machine_dir(id));
        logs::read(path, query)
    }
}

/// Collects the output of a command until it ends.
async fn collect(mut output: mpsc::Receiver<ExecOutput>) -> Answer<ExecOutcome> {
    let mut outcome = ExecOutcome::default();
    while let Some(piece) = output.recv().await {
        match piece {
            ExecOutput::Stdout(bytes) => {
                outcome.is_truncated |= !append(&mut outcome.stdout, &bytes);
            }
            ExecOutput::Stderr(bytes) => {
                outcome.is_truncated |= !append(&mut outcome.stderr, &bytes);
            }
            ExecOutput::Ended { exit_code } => {
                outcome.exit_code = exit_code;
                outcome.exit_signal = if exit_code > 128 { exit_code - 128 } else { 0 };
                return Ok(outcome);
            }
            ExecOutput::Failed { reason: Some(reason), message } => {
                let code = serde_json::to_value(reason)
                    .ok()
                    .and_then(|word| word.as_str().map(str::to_owned))
                    .unwrap_or_else(|| "other".to_owned());
                return Err(ControlError::StartFailed { code, message });
            }
            ExecOutput::Failed { reason: None, .. } => return Err(cut_off()),
        }
    }
    Err(cut_off())
}

/// The command's end was not heard: it, or its machine, has ended. Source of the text: machines-api
/// 1.3.
fn cut_off() -> ControlError {
    ControlError::Precondition {
        code: "exec_cut_off",
        message: "exec request failed: EOF".to_owned(),
        hint: "the machine ended during the command: `GET …/events` says why",
    }
}

/// Appends as much as fits; false when something did not.
fn append(all: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let room = EXEC_OUTPUT_MAX_BYTES.saturating_sub(all.len());
    all.extend_from_slice(&bytes[..bytes.len().min(room)]);
    bytes.len() <= room
}

fn unexpected(answer: &message::Answer) -> ControlError {
    match answer {
        message::Answer::Failed { message } => ControlError::Shim { message: message.clone() },
        other => ControlError::Bug { message: format!("the guest init answered {other:?}") },
    }
}
