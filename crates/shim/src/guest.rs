//! What the guest says.

use crate::ending::Ending;
use crate::memory;
use crate::note;
use crate::shim::Shim;
use crate::streams::Route;
use guest_proto::message::StartFailure;
use guest_proto::{Frame, FrameKind, FromGuest, StreamId, ToGuest};
use shim_proto::FromShim;
use shim_proto::connection::Filled;

impl Shim {
    /// Reads the guest's channel once and does what follows.
    pub(crate) fn serve_guest(&mut self) -> Option<Ending> {
        let guest = self.run.as_mut()?.guest.as_mut()?;
        let filled = guest.channel.flush().and_then(|()| guest.channel.fill());
        guest.is_open = matches!(filled, Ok(Filled::Some | Filled::Empty));
        loop {
            let guest = self.run.as_mut()?.guest.as_mut()?;
            match guest.channel.next_frame() {
                Ok(Some(frame)) => {
                    if let Some(ending) = self.hear(&frame) {
                        return Some(ending);
                    }
                }
                Ok(None) => return None,
                // Whoever speaks there is not our init any more. Nothing it says can be trusted.
                Err(_) => return Some(Ending::GuestBroken),
            }
        }
    }

    /// Takes one frame of the guest.
    pub(crate) fn hear(&mut self, frame: &Frame) -> Option<Ending> {
        match frame.kind {
            FrameKind::Data { stream: StreamId::MAIN, channel } => {
                self.run.as_mut()?.log.write(channel, &frame.payload);
                None
            }
            FrameKind::Data { stream, .. } => {
                self.hear_data(stream, frame);
                None
            }
            FrameKind::Control => match frame.message::<FromGuest>() {
                Ok(message) => self.hear_message(message),
                // A newer init may say things that we need not know.
                Err(_) => None,
            },
        }
    }

    fn hear_data(&mut self, stream: StreamId, frame: &Frame) {
        let Some(run) = &mut self.run else { return };
        match run.streams.route(stream) {
            Route::Daemon => self.relay_frame(frame),
            Route::AnswerAway => run.answer_away(stream),
            Route::Drop => {}
        }
    }

    fn relay_frame(&mut self, frame: &Frame) {
        let Some(daemon) = &mut self.daemon else { return };
        if daemon.send_frame(frame.kind, &frame.payload).is_err() {
            self.lose_daemon();
        }
    }

    fn hear_message(&mut self, message: FromGuest) -> Option<Ending> {
        let has_daemon = self.daemon.is_some();
        let run = self.run.as_mut()?;
        match &message {
            FromGuest::ClockAsked => {
                run.tell_time();
                return None;
            }
            FromGuest::Resumed => {
                self.resumed();
                return None;
            }
            FromGuest::FurnishFailed { message } if run.resuming.is_some() => {
                return Some(Ending::NotStarted {
                    code: "guest".to_owned(),
                    message: message.clone(),
                });
            }
            FromGuest::Answer { id, .. }
                if run.suspending.is_some_and(|suspending| suspending.is_answered_by(*id)) =>
            {
                return self.flushed();
            }
            // What it says while it is furnished is for the engine, and that is over.
            FromGuest::Hello { .. }
            | FromGuest::Waiting { .. }
            | FromGuest::Furnished { .. }
            | FromGuest::FurnishFailed { .. } => return None,
            // The init was given to this shim by the same build; it cannot be too old or too new.
            FromGuest::HelloRefused { .. } => return Some(Ending::GuestBroken),
            FromGuest::Started { .. } => {
                self.started();
                return None;
            }
            FromGuest::StartFailed { reason, message } if !run.is_up() => {
                let code = failure_code(*reason).to_owned();
                return Some(Ending::NotStarted { code, message: message.clone() });
            }
            FromGuest::Exited(ended) => {
                run.ended = Some(*ended);
                return Some(Ending::Exited);
            }
            FromGuest::ApiOpened { stream } => {
                let stream = *stream;
                if !run.streams.open_by_guest(stream, has_daemon) {
                    run.tell_guest(&ToGuest::Reset { stream });
                    return None;
                }
                if !has_daemon {
                    return None;
                }
            }
            FromGuest::ExecStarted { stream, .. }
            | FromGuest::ExecFailed { stream, .. }
            | FromGuest::ExecEnded { stream, .. }
            | FromGuest::End { stream }
            | FromGuest::Reset { stream }
            | FromGuest::Credit { stream, .. } => {
                let route = run.streams.route(*stream);
                run.streams.note_from_guest(&message);
                if route == Route::AnswerAway && matches!(message, FromGuest::End { .. }) {
                    run.answer_away(*stream);
                }
                if route != Route::Daemon && *stream != StreamId::MAIN {
                    return None;
                }
            }
            FromGuest::Answer { id, .. } if run.streams.pass_barrier(*id) => return None,
            FromGuest::StartFailed { .. }
            | FromGuest::Answer { .. }
            | FromGuest::Unknown { .. } => {}
        }
        self.tell(&FromShim::Guest(message));
        None
    }

    /// The program runs.
    fn started(&mut self) {
        let Some(run) = self.run.as_mut().filter(|run| !run.is_up()) else { return };
        let at = model::clock::now().0;
        run.started_at = Some(at);
        let timings = run.take_timings();
        let init_pid = run.guest.as_ref().map_or(0, |guest| guest.pid);
        failpoint::hit("shim.started");
        self.tell(&FromShim::Started { init_pid, at, timings });
        if let Some(Err(error)) = self.run.as_mut().map(|run| run.engine.settle()) {
            note(&error.sentence());
        }
        memory::trim();
    }
}

/// The stable word of a failure to start.
const fn failure_code(reason: StartFailure) -> &'static str {
    match reason {
        StartFailure::EmptyArgv => "empty_argv",
        StartFailure::NotFound => "not_found",
        StartFailure::NotExecutable => "not_executable",
        StartFailure::UnknownUser => "unknown_user",
        StartFailure::WorkingDir => "working_dir",
        StartFailure::Files => "files",
        StartFailure::Other => "other",
    }
}
