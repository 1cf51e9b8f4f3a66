//! Sleep on disk, and the way back.
//!
//! ```text
//! Up ── Suspend ──► its programs stand still, it flushes ──► stands still, is written down ──► (exit)
//!                     └─ Thaw, no answer, no room: Up
//! Prepare, Go ──► Resuming ── Resumed ──► Up
//! ```
//!
//! A guest that has answered has read everything that it was told. So all that is under way when it stands
//! still is its own: whole frames are heard before it is written down, and the first part of one whose rest
//! is still inside goes with it.

use crate::ending::Ending;
use crate::run::{Guest, Run};
use crate::shim::Shim;
use base64::Engine as _;
use engine::EngineError;
use guest_proto::message::Question;
use guest_proto::{Frame, FrameKind, ToGuest};
use shim_proto::connection::{Connection, Filled};
use shim_proto::spec::Carried;
use shim_proto::{FromShim, ToShim};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// Longest wait for the guest to flush its file systems.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// Longest wait for a guest that has come back to set its clock.
const RESUME_MAX: Duration = Duration::from_secs(30);

/// The word that begins an epoch is said again after this time: it may have met a frame that was cut.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Bytes that may wait for the guest to read before its questions stay open.
const ANSWERS_MAX_BYTES: usize = 64 * 1024;

/// Id of the first question whose answer says that the guest has flushed; those after it are less, far
/// above the barriers.
const FLUSHED: u64 = u64::MAX;

/// A suspend that waits for the guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspending {
    question: u64,
    deadline: Instant,
}

/// A guest that has come back and does not know yet what time it is.
#[derive(Debug)]
pub(crate) struct Resuming {
    started_at: u64,
    entropy_base64: String,
    deadline: Instant,
    again_at: Instant,
}

impl Suspending {
    pub(crate) const fn deadline(self) -> Instant {
        self.deadline
    }

    /// Whether this answers its question, and not that of an earlier one.
    pub(crate) const fn is_answered_by(self, id: u64) -> bool {
        self.question == id
    }
}

impl Resuming {
    pub(crate) fn next_look(&self) -> Instant {
        self.deadline.min(self.again_at)
    }
}

impl Shim {
    /// The first half: the guest is asked to flush.
    pub(crate) fn begin_suspend(&mut self) {
        let Some(run) = self.run.as_mut().filter(|run| run.is_up() && run.stop.is_none()) else {
            return self.refuse("suspend", "not_running", "there is no running machine");
        };
        if run.suspending.is_some() {
            return;
        }
        // One that is frozen cannot flush.
        if let Err(error) = run.thaw() {
            return self.refuse_suspend(&error);
        }
        run.part_with_daemon();
        let id = FLUSHED - run.n_suspends;
        run.n_suspends += 1;
        run.tell_guest(&ToGuest::Ask { id, question: Question::Quiesce });
        run.is_quiet = true;
        run.suspending = Some(Suspending { question: id, deadline: Instant::now() + FLUSH_MAX });
    }

    /// A suspend that waits is not wanted any more.
    pub(crate) fn call_suspend_off(&mut self) {
        let Some(run) = &mut self.run else { return };
        if run.suspending.take().is_some() {
            run.end_quiet();
            self.refuse_suspend(&EngineError::CalledOff);
        }
    }

    /// The second half: the guest has flushed, or could not, which its kernel's log tells.
    pub(crate) fn flushed(&mut self) -> Option<Ending> {
        self.run.as_mut()?.suspending.take()?;
        failpoint::hit("shim.suspend.flushed");
        let frozen = self.run.as_mut()?.freeze();
        if let Err(error) = frozen {
            return self.stay_up(&error);
        }
        if let Some(ending) = self.hear_all() {
            return Some(ending);
        }
        let run = self.run.as_mut()?;
        let carried = match run.carried() {
            Ok(carried) => carried,
            Err(error) => return self.stay_up(&error),
        };
        let (mut daemon, mut heard) = (self.daemon.take(), VecDeque::new());
        let suspended =
            run.engine.suspend(&carried, &mut || is_called_off(daemon.as_mut(), &mut heard));
        self.daemon = daemon;
        match suspended {
            // What the daemon has said since finds nobody here.
            Ok(disk_bytes) => {
                failpoint::hit("shim.suspend.kept");
                Some(Ending::Suspended { disk_bytes })
            }
            Err(error) => {
                let ending = self.stay_up(&error);
                ending.or_else(|| heard.iter().find_map(|frame| self.obey(frame)))
            }
        }
    }

    /// It could not be put on disk, and runs on.
    fn stay_up(&mut self, error: &EngineError) -> Option<Ending> {
        let thawed = self.run.as_mut()?.thaw();
        self.refuse_suspend(error);
        // Nobody can use one that stands still for ever.
        thawed.err().map(|stuck| Ending::HostBroken { message: stuck.sentence() })
    }

    fn refuse_suspend(&mut self, error: &EngineError) {
        let code = match error {
            EngineError::CalledOff | EngineError::Unsupported { .. } => error.code(),
            _ => "failed",
        };
        self.refuse("suspend", code, &error.sentence());
    }

    /// Hears all that the guest has said before it stood still.
    fn hear_all(&mut self) -> Option<Ending> {
        while self.run.as_ref()?.guest.as_ref()?.has_more() {
            if let Some(ending) = self.serve_guest() {
                return Some(ending);
            }
        }
        None
    }

    /// What time itself brings: a guest that does not flush, or does not come back.
    pub(crate) fn keep_time(&mut self, now: Instant) -> Option<Ending> {
        let run = self.run.as_mut()?;
        if run.suspending.is_some_and(|suspending| suspending.deadline <= now) {
            run.suspending = None;
            run.end_quiet();
            self.refuse_suspend(&EngineError::Deadline {
                what: "the guest's flush of its file systems",
                limit: FLUSH_MAX,
            });
            return None;
        }
        let resuming = run.resuming.as_mut()?;
        if resuming.deadline <= now {
            let message = format!("the guest did not come back within {RESUME_MAX:?}");
            return Some(Ending::NotStarted { code: "guest".to_owned(), message });
        }
        if resuming.again_at <= now {
            resuming.again_at = now + AGAIN_AFTER;
            run.tell_resume();
        }
        None
    }

    /// The guest has set its clock: it is as it was.
    pub(crate) fn resumed(&mut self) {
        let Some(run) = &mut self.run else { return };
        let Some(resuming) = run.resuming.take() else { return };
        run.started_at = Some(resuming.started_at);
        let timings = run.take_timings();
        let init_pid = run.guest.as_ref().map_or(0, |guest| guest.pid);
        failpoint::hit("shim.resumed");
        self.tell(&FromShim::Resumed { init_pid, timings });
        crate::memory::trim();
    }
}

impl Run {
    /// Takes over the guest of an engine that has brought it back.
    pub(crate) fn take_up(
        &mut self,
        running: engine::Running,
        resumed: engine::Resumed,
    ) -> io::Result<()> {
        let engine::Resumed { carried, entropy_base64 } = resumed;
        let unread = base64::engine::general_purpose::STANDARD.decode(&carried.unread_base64);
        let unread = unread.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let channel =
            Connection::carried_on(running.channel, carried.epoch.wrapping_add(1), &unread)?;
        let (pidfd, pid) = (running.pidfd, running.init_pid);
        self.guest = Some(Guest { channel, pidfd, pid, is_open: true });
        let now = Instant::now();
        self.resuming = Some(Resuming {
            started_at: carried.started_at,
            entropy_base64,
            deadline: now + RESUME_MAX,
            again_at: now + AGAIN_AFTER,
        });
        self.tell_resume();
        Ok(())
    }

    /// Tells a guest what time it is. One that asks and does not listen is not answered.
    pub(crate) fn tell_time(&mut self) {
        let n_waiting = self.guest.as_ref().map_or(0, |guest| guest.channel.queued_bytes());
        if n_waiting < ANSWERS_MAX_BYTES {
            self.tell_guest(&ToGuest::Clock { unix_ns: engine::unix_ns() });
        }
    }

    fn tell_resume(&mut self) {
        let Some(resuming) = &self.resuming else { return };
        let entropy_base64 = resuming.entropy_base64.clone();
        let (version, version_min) = (guest_proto::VERSION, guest_proto::VERSION_MIN);
        self.tell_guest(&ToGuest::Hello { version, version_min });
        self.tell_guest(&ToGuest::Resume { entropy_base64 });
    }

    /// What whoever brings it back has to know.
    fn carried(&mut self) -> Result<Carried, EngineError> {
        let cpu_us = self.engine.usage()?.cpu_us;
        let guest = self.guest.as_ref().ok_or(EngineError::Order { verb: "suspend" })?;
        let unread_base64 =
            base64::engine::general_purpose::STANDARD.encode(guest.channel.unread());
        let started_at = self.started_at.unwrap_or(0);
        Ok(Carried { epoch: guest.channel.epoch(), unread_base64, started_at, cpu_us })
    }
}

impl Guest {
    /// Something that it has said waits to be heard.
    fn has_more(&self) -> bool {
        self.is_open && self.channel.wait_readable(Instant::now()).is_ok()
    }
}

/// Whether the daemon wants the machine up, or gone. All that it says is kept.
fn is_called_off(daemon: Option<&mut Connection>, heard: &mut VecDeque<Frame>) -> bool {
    let Some(daemon) = daemon else { return false };
    // That it is gone is found out later.
    if matches!(daemon.fill(), Ok(Filled::Some)) {
        while let Ok(Some(frame)) = daemon.next_frame() {
            heard.push_back(frame);
        }
    }
    heard.iter().filter(|frame| frame.kind == FrameKind::Control).any(|frame| {
        matches!(frame.message(), Ok(ToShim::Thaw | ToShim::Stop { .. } | ToShim::Kill))
    })
}
