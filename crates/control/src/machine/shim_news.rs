//! What the shim says, as events.

use super::answers::answer_to;
use super::effects::remove_if_there;
use super::streams::ToStream;
use super::task::Task;
use super::thaw::Thaws;
use crate::error::{ControlError, is_permanent};
use crate::orders;
use crate::shim::{Link, LinkEvent};
use guest_proto::{FromGuest, ToGuest};
use model::{Depth, Event, Exit, Fault, Run, RunId, State, UnixMs};
use shim_proto::exit_file::{self, ExitRecord};
use shim_proto::{FromShim, RunStatus, ToShim};
use std::sync::PoisonError;

impl Task {
    pub(super) async fn hear(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Message(FromShim::Suspended { disk_bytes }) => {
                self.is_on_disk(disk_bytes).await;
            }
            LinkEvent::Message(message) => self.hear_message(message),
            LinkEvent::Data { stream, channel, bytes } => {
                self.streams.bytes(stream, channel, bytes);
            }
            LinkEvent::Closed => self.link_closed().await,
        }
    }

    fn hear_message(&mut self, message: FromShim) {
        match message {
            FromShim::Hello { status, .. } => self.compare(&status),
            FromShim::Prepared { timings } => self.timings.add_of_shim(timings),
            FromShim::Started { at, timings, .. } => {
                self.timings.add_of_shim(timings);
                if let Some(run) = self.current_run() {
                    self.pending.push_back(Event::RunStarted { run, at: UnixMs(at) });
                }
            }
            FromShim::StartFailed { code, message } => {
                if let Some(run) = self.state().run().cloned() {
                    let is_transient = !is_permanent(&code);
                    self.run_failed(&run, code, message, is_transient);
                }
            }
            FromShim::Exited(record) => self.exited(record),
            FromShim::Frozen { ram_bytes } => {
                self.refuse_questions();
                if let Some(run) = self.current_run() {
                    self.pending.push_back(Event::Slept { run, depth: Depth::Freeze, ram_bytes });
                }
            }
            FromShim::Thawed => {
                if self.thaws.heard()
                    && let Some(run) = self.current_run()
                {
                    self.pending.push_back(Event::Woke { run });
                }
            }
            FromShim::Resumed { timings, .. } => {
                self.timings.add_of_shim(timings);
                self.came_back();
            }
            FromShim::Usage { id, usage } => self.answer_usage(id, usage),
            FromShim::Refused { order, code, message } => self.refused(&order, &code, message),
            FromShim::Guest(message) => self.hear_guest(message),
            // The former two are said before there is a run, and the latter is heard above.
            FromShim::Warmed { .. } | FromShim::WarmFailed { .. } | FromShim::Suspended { .. } => {}
        }
    }

    pub(super) fn current_run(&self) -> Option<RunId> {
        self.state().run().map(|run| run.id.clone())
    }

    fn answer_usage(&mut self, id: u64, usage: Option<shim_proto::message::Usage>) {
        if self.cpu.hear(id, usage.as_ref().map(|usage| usage.cpu_us)) {
            return;
        }
        if let Some(reply) = self.usages.remove(&id) {
            let answer = usage.ok_or(ControlError::Refused(model::Refused::State {
                state: self.state().api_name(),
                asked: model::admit::Asked::Guest,
            }));
            answer_to(reply, answer);
        }
    }

    fn refused(&mut self, order: &str, code: &str, message: String) {
        if order == "go" {
            // Said again after a restart of control; the shim had heard it.
            return;
        }
        tracing::warn!(machine = %self.id, order, code, message, "the shim refused an order");
        if order == "thaw" {
            self.thaws.heard();
        }
        if let (State::Suspending { run, .. }, "freeze" | "suspend") = (self.state(), order) {
            let run = run.id.clone();
            self.pending.push_back(Event::SleepFailed { run, message });
        }
    }

    fn hear_guest(&mut self, message: FromGuest) {
        match message {
            FromGuest::ExecStarted { .. }
            | FromGuest::Hello { .. }
            | FromGuest::HelloRefused { .. }
            | FromGuest::Waiting { .. }
            | FromGuest::ClockAsked
            | FromGuest::Furnished { .. }
            | FromGuest::FurnishFailed { .. }
            | FromGuest::Resumed
            | FromGuest::Started { .. }
            | FromGuest::StartFailed { .. }
            | FromGuest::Exited(_) => {}
            FromGuest::ExecFailed { stream, reason, message } => {
                self.streams.failed(stream, Some(reason), message);
            }
            FromGuest::ExecEnded { stream, ended } => self.streams.ended(stream, ended),
            FromGuest::ApiOpened { stream } => self.api_opened(stream),
            FromGuest::End { stream } => self.streams.end(stream),
            FromGuest::Reset { stream } => {
                self.streams.failed(stream, None, "the guest dropped the stream".to_owned());
            }
            FromGuest::Credit { stream, bytes } => self.streams.credit(stream, bytes),
            FromGuest::Answer { id, answer } => {
                if let Some(reply) = self.asks.remove(&id) {
                    answer_to(reply, Ok(answer));
                }
            }
            FromGuest::Unknown { what } => {
                tracing::warn!(machine = %self.id, what, "the guest init is older than this daemon");
            }
        }
    }

    fn api_opened(&mut self, stream: guest_proto::StreamId) {
        let Some(server) = self.streams.open_api(stream) else {
            return self.send_stream(ToStream::Reset(stream));
        };
        let answers = self.inner.guest_api.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.as_ref() {
            answer(self.id.clone(), server);
        }
    }

    /// Sends what a pump asks for.
    pub(super) fn send_stream(&mut self, order: ToStream) {
        let message = match order {
            ToStream::Bytes(stream, bytes) => {
                if let Some(link) = self.link.as_mut()
                    && let Err(error) = link.send_data(stream, &bytes)
                {
                    tracing::debug!(machine = %self.id, %error, "bytes for a lost shim");
                }
                return;
            }
            ToStream::End(stream) => {
                self.streams.host_ended(stream);
                ToGuest::End { stream }
            }
            ToStream::Reset(stream) => {
                self.streams.forget(stream);
                ToGuest::Reset { stream }
            }
            ToStream::Credit(stream, bytes) => ToGuest::Credit { stream, bytes },
            ToStream::Resize(stream, rows, cols) => ToGuest::Resize { stream, rows, cols },
        };
        if self.link.is_some()
            && let Err(error) = self.send(&ToShim::Guest(message))
        {
            tracing::debug!(machine = %self.id, %error, "an order for a lost shim");
        }
    }

    /// The run has ended: the shim said so, or left it in a file.
    fn exited(&mut self, record: ExitRecord) {
        let Some(run) = self.state().run().cloned() else { return };
        if record.run != run.id.as_str() {
            return;
        }
        self.run_cpu_us = record.cpu_us;
        if let Some((code, message)) = record.start_failed {
            let is_transient = !is_permanent(&code);
            return self.run_failed(&run, code, message, is_transient);
        }
        self.run_exited(
            &run,
            Exit {
                code: record.code,
                signal: record.signal,
                oom_killed: record.oom_killed,
                requested_stop: record.requested_stop,
                shim_lost: false,
                started_at: record.started_at.map(UnixMs),
                exited_at: UnixMs(record.exited_at),
                fault: record.fault.map(fault),
            },
        );
    }

    pub(super) fn run_exited(&mut self, run: &Run, exit: Exit) {
        let begins_again = matches!(
            self.state(),
            State::Stopping { then: model::state::AfterStop::Start { .. }, .. }
        );
        match self.seed(begins_again) {
            Ok(seed) => self.pending.push_back(Event::RunExited {
                run: run.id.clone(),
                exit,
                policy: self.record.spec.restart,
                auto_destroy: self.record.spec.auto_destroy,
                seed,
            }),
            Err(error) => tracing::error!(machine = %self.id, %error, "an exit stays unheard"),
        }
    }

    /// The shim is gone, or only its connection.
    async fn link_closed(&mut self) {
        self.link = None;
        self.thaws = Thaws::default();
        let Some(run) = self.state().run().cloned() else { return };
        if self.pending.iter().any(ends_run) {
            return;
        }
        if self.find(&run).await {
            return;
        }
        if self.may_resume_again(&run) {
            self.resume_again(&run).await;
        } else if has_not_begun(self.state()) {
            self.never_launched(&run).await;
        } else {
            self.shim_lost(&run).await;
        }
    }

    /// Finds out what became of a run whose shim does not speak: it has left its exit, or it runs on.
    /// False when there is neither.
    pub(super) async fn find(&mut self, run: &Run) -> bool {
        if self.take_exit_file(run) || self.find_on_disk(run).await {
            return true;
        }
        let socket = orders::socket_path(&self.inner.config.runtime_dir, &run.id);
        if let Ok(link) = Link::connect(&socket).await {
            self.link = Some(link);
            return true;
        }
        // It may have ended between the two looks.
        self.take_exit_file(run) || self.find_on_disk(run).await
    }

    fn take_exit_file(&mut self, run: &Run) -> bool {
        let path = orders::exit_path(&self.inner.disks.machine_dir(&self.id), &run.id);
        match exit_file::read(&path) {
            Ok(Some(record)) if self.was_never_begun(run, &record) => {
                remove_if_there(&path);
                false
            }
            Ok(Some(record)) => {
                self.exited(record);
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(machine = %self.id, run = %run.id, %error, "unreadable exit file");
                false
            }
        }
    }

    /// Whether the shim gave the run up because control had died: before it said `Go`, or with what it held
    /// for the run. Then nothing has happened yet.
    fn was_never_begun(&self, run: &Run, record: &ExitRecord) -> bool {
        match record.start_failed.as_ref().map(|(code, _)| code.as_str()) {
            Some("abandoned") => has_not_begun(self.state()) || self.is_awaited_from_disk(),
            // RAM on disk that is of use, and still there.
            Some(code) => code != "ram" && self.comes_back_from_disk(run),
            None => false,
        }
    }

    /// The shim ended before it ran anything.
    async fn never_launched(&mut self, run: &Run) {
        self.reap_leftovers(run).await;
        let message = "the machine's shim ended before the program ran".to_owned();
        self.run_failed(run, "shim_lost".to_owned(), message, true);
    }

    pub(super) async fn shim_lost(&mut self, run: &Run) {
        tracing::error!(machine = %self.id, run = %run.id, "its shim is lost");
        self.reap_leftovers(run).await;
        let now = model::clock::now();
        self.run_exited(
            run,
            Exit {
                code: None,
                signal: None,
                oom_killed: false,
                requested_stop: matches!(self.state(), State::Stopping { .. }),
                shim_lost: true,
                started_at: run.started_at,
                exited_at: now,
                fault: None,
            },
        );
    }

    /// Compares what a shim says of itself with what we believe, after a (re)connect.
    fn compare(&mut self, status: &RunStatus) {
        let Some(run) = self.state().run().cloned() else { return };
        let RunStatus::Up { run: id, started_at, is_frozen, .. } = status else { return };
        if *id != run.id.as_str() {
            return;
        }
        if matches!(self.state(), State::Starting { .. }) {
            self.pending.push_back(Event::RunStarted { run: run.id, at: UnixMs(*started_at) });
        } else if let (State::Suspending { depth: Depth::Freeze, .. }, true) =
            (self.state(), *is_frozen)
        {
            let (run, depth) = (run.id, Depth::Freeze);
            self.pending.push_back(Event::Slept { run, depth, ram_bytes: 0 });
        } else if let (
            State::Suspended { depth: Depth::Freeze, .. } | State::Suspended { wake: Some(_), .. },
            false,
        ) = (self.state(), *is_frozen)
        {
            self.pending.push_back(Event::Woke { run: run.id });
        }
    }
}

fn fault(of_shim: exit_file::Fault) -> Fault {
    match of_shim {
        exit_file::Fault::Guest(sentence) => Fault::Guest(sentence),
        exit_file::Fault::Host(sentence) => Fault::Host(sentence),
    }
}

/// Whether an event that waits to be applied ends the current run.
const fn ends_run(event: &Event) -> bool {
    matches!(event, Event::RunExited { .. } | Event::RunFailed { .. })
}

/// Whether the current run has been accepted but its program has not run yet.
pub(super) fn has_not_begun(state: &State) -> bool {
    matches!(state, State::Starting { run, .. } if run.started_at.is_none())
}
