//! How a run ends: everything dies, everything is given back, the exit is on disk, then it is told.

use crate::note;
use crate::run::Run;
use crate::shim::Shim;
use engine::{Engine as _, EngineError, Microvm};
use guest_proto::message::Ended;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shim_proto::connection::{Connection, Filled};
use shim_proto::exit_file::{self, ExitRecord, Fault};
use shim_proto::{FromShim, RunSpec};
use std::io;
use std::time::{Duration, Instant};

/// Longest wait for the daemon to read the last message.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// How often the exit file is tried again when nobody else knows of the exit.
const EXIT_FILE_RETRY: Duration = Duration::from_secs(1);

/// How long it is tried: a full disk may take a person to notice.
const EXIT_FILE_PATIENCE: Duration = Duration::from_secs(600);

/// Most bytes read from the channel of a guest that is dead already: a full socket buffer.
const LAST_WORDS_MAX_READS: usize = 1024;

/// What is said of a guest init that does not speak our protocol.
const NONSENSE: &str = "the guest init spoke nonsense";

/// SIGKILL.
const SIGKILL: i32 = 9;

/// Exit code of a shell whose last command was killed by SIGKILL. Source: POSIX, 2.8.2.
const SHELL_SAYS_KILLED: i32 = 128 + SIGKILL;

/// Why the loop ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The daemon went away before `Go`, or called the preparation off.
    Abandoned,
    /// The run could not be brought up.
    NotStarted {
        /// Stable word.
        code: String,
        /// For the user.
        message: String,
    },
    /// The guest init told of the program's end.
    Exited,
    /// The guest init died without a word.
    GuestDied,
    /// The guest init does not speak our protocol.
    GuestBroken,
    /// What the guest runs in cannot go on.
    HostBroken {
        /// For the user.
        message: String,
    },
    /// By order, or because the program's time to obey is over.
    Killed,
    /// Its RAM is on disk.
    Suspended {
        /// Bytes that it takes there.
        disk_bytes: u64,
    },
}

impl Ending {
    pub(crate) fn from_engine(error: &EngineError) -> Self {
        Self::NotStarted { code: error.code().to_owned(), message: error.sentence() }
    }

    pub(crate) fn not_started(code: &str, error: &io::Error) -> Self {
        Self::NotStarted { code: code.to_owned(), message: error.to_string() }
    }
}

/// Ends the run, if there is one, and tells.
pub(crate) fn conclude(mut shim: Shim, ending: Ending) -> io::Result<()> {
    conclude_warm(shim.warm.take());
    let Some(mut run) = shim.run.take() else {
        return say_farewell(shim, None);
    };
    if let Ending::Suspended { disk_bytes } = ending {
        take_down(&mut run);
        return say_farewell(shim, Some(&FromShim::Suspended { disk_bytes }));
    }
    let record = end_run(&mut shim, &mut run, ending);
    let message = match &record.start_failed {
        Some((code, message)) => {
            FromShim::StartFailed { code: code.clone(), message: message.clone() }
        }
        None => FromShim::Exited(record.clone()),
    };
    write_exit(&mut shim, &run.spec, &record);
    say_farewell(shim, Some(&message))
}

/// Ends a virtual machine that nobody wants any more.
pub(crate) fn conclude_warm(warm: Option<Box<Microvm>>) {
    if let Some(mut warm) = warm
        && let Err(error) = warm.teardown()
    {
        note(&format!("teardown: {}", error.sentence()));
    }
}

/// Gives everything back of a run that is on disk, where it has not ended.
fn take_down(run: &mut Run) {
    run.log.finish();
    told("teardown", run.engine.teardown());
}

fn told(what: &str, result: Result<(), EngineError>) {
    if let Err(error) = result {
        note(&format!("{what}: {}", error.sentence()));
    }
}

/// Kills what is left, gives everything back, and says how it was.
fn end_run(shim: &mut Shim, run: &mut Run, ending: Ending) -> ExitRecord {
    let fault = fault(run, &ending);
    told("kill", run.engine.kill());
    let exited_at = model::clock::now().0;
    hear_last_words(run);
    run.log.finish();
    let cpu_us = run.engine.usage().map_or(0, |usage| usage.cpu_us);
    let ran_out_of_ram = run.engine.oom_kills().is_ok_and(|n| n > 0);
    told("teardown", run.engine.teardown());
    let (code, signal) = outcome(run.ended, &ending);
    let start_failed = why_not_started(run, ending, ran_out_of_ram);
    drop(shim.ahead.take());
    ExitRecord {
        run: run.spec.run.clone(),
        machine: run.spec.machine.clone(),
        code,
        signal,
        oom_killed: ran_out_of_ram && run.stop.is_none() && was_killed(code, signal),
        requested_stop: run.stop.is_some(),
        forced: run.stop.is_some_and(|stop| stop.forced) && run.ended.is_none(),
        started_at: run.started_at,
        exited_at,
        cpu_us,
        start_failed,
        // A program that has told of its end has ended the machine.
        fault: fault.filter(|_| run.ended.is_none()),
    }
}

/// Whose fault the end is, if it is somebody's.
fn fault(run: &mut Run, ending: &Ending) -> Option<Fault> {
    match ending {
        Ending::GuestDied if run.stop.is_none() => run.engine.fault(),
        Ending::GuestBroken => Some(Fault::Guest(NONSENSE.to_owned())),
        Ending::HostBroken { message } => Some(Fault::Host(message.clone())),
        Ending::Abandoned
        | Ending::NotStarted { .. }
        | Ending::Exited
        | Ending::GuestDied
        | Ending::Killed
        | Ending::Suspended { .. } => None,
    }
}

/// Whether a program that ended so was killed, or is a shell that tells so of its child. The kernel
/// may have killed something else, say a command beside the program, long before the end.
const fn was_killed(code: Option<i32>, signal: Option<i32>) -> bool {
    matches!((code, signal), (_, Some(SIGKILL)) | (Some(SHELL_SAYS_KILLED), _))
}

/// Exit code and signal: what the guest init said, or what its death did to the program.
fn outcome(ended: Option<Ended>, ending: &Ending) -> (Option<i32>, Option<i32>) {
    match (ended, ending) {
        (Some(ended), _) => (ended.code, ended.signal),
        // With PID 1 the kernel kills all of its namespace.
        (
            None,
            Ending::GuestDied | Ending::GuestBroken | Ending::HostBroken { .. } | Ending::Killed,
        ) => (None, Some(SIGKILL)),
        (
            None,
            Ending::Abandoned
            | Ending::NotStarted { .. }
            | Ending::Exited
            | Ending::Suspended { .. },
        ) => (None, None),
    }
}

/// Code and sentence, if the program never ran and nobody asked for that.
fn why_not_started(run: &Run, ending: Ending, ran_out_of_ram: bool) -> Option<(String, String)> {
    if run.is_up() {
        return None;
    }
    let because = |code: &str, message: &str| Some((code.to_owned(), message.to_owned()));
    match ending {
        Ending::NotStarted { code, message } => Some((code, message)),
        Ending::Abandoned => because("abandoned", "the daemon went away before the start"),
        _ if run.stop.is_some() => None,
        _ if ran_out_of_ram => {
            because("out_of_ram", "the RAM does not suffice to start the machine")
        }
        Ending::GuestBroken => because("guest_broken", NONSENSE),
        Ending::HostBroken { message } => because("failed", &message),
        Ending::GuestDied => because("guest_died", "the guest init died before the program ran"),
        Ending::Exited | Ending::Killed | Ending::Suspended { .. } => None,
    }
}

/// Reads what the guest said before it died: the rest of the log, and perhaps the exit code.
fn hear_last_words(run: &mut Run) {
    use guest_proto::{FrameKind, FromGuest, StreamId};
    let Some(guest) = &mut run.guest else { return };
    for _ in 0..LAST_WORDS_MAX_READS {
        let is_over = !matches!(guest.channel.fill(), Ok(Filled::Some));
        while let Ok(Some(frame)) = guest.channel.next_frame() {
            match frame.kind {
                FrameKind::Data { stream: StreamId::MAIN, channel } => {
                    run.log.write(channel, &frame.payload);
                }
                FrameKind::Data { .. } => {}
                FrameKind::Control => {
                    if let Ok(FromGuest::Exited(ended)) = frame.message()
                        && run.ended.is_none()
                    {
                        run.ended = Some(ended);
                    }
                }
            }
        }
        if is_over {
            return;
        }
    }
}

/// Writes the exit file. When that fails (a full disk) a connected daemon learns of the exit anyway;
/// without one the shim stays until it is written, a daemon comes, or patience ends.
fn write_exit(shim: &mut Shim, spec: &RunSpec, record: &ExitRecord) {
    let deadline = Instant::now() + EXIT_FILE_PATIENCE;
    while let Err(error) = exit_file::write(&spec.exit_path, record) {
        note(&format!(
            "{error}: {}",
            std::error::Error::source(&error).map_or_else(String::new, ToString::to_string,)
        ));
        if shim.daemon.is_some() || Instant::now() >= deadline {
            return;
        }
        shim.wait_for_knock(EXIT_FILE_RETRY);
    }
}

/// Tells the daemon, if there is something to tell, and waits, for a moment, until it has read all.
fn say_farewell(mut shim: Shim, message: Option<&FromShim>) -> io::Result<()> {
    if let Some(message) = message {
        shim.tell(message);
    }
    let Some(mut daemon) = shim.daemon.take() else { return Ok(()) };
    let deadline = Instant::now() + FAREWELL_MAX;
    while daemon.queued_bytes() > 0 && Instant::now() < deadline {
        wait_writable(&daemon)?;
        if daemon.flush().is_err() {
            break;
        }
    }
    Ok(())
}

fn wait_writable(daemon: &Connection) -> io::Result<()> {
    let timeout = Timespec::try_from(FAREWELL_MAX).ok();
    poll(&mut [PollFd::new(daemon, PollFlags::OUT)], timeout.as_ref())?;
    Ok(())
}
