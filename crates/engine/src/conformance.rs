//! What every engine must do, as one suite.
//!
//! A test of an engine calls [`run`] with a maker of fresh engines and a spec that they understand.
//! What an engine declares to lack in [`Capabilities`](crate::Capabilities) is expected to be refused;
//! all else must work. A violation panics with the promise that was broken.

use crate::engine::{Engine, Running};
use crate::error::EngineError;
use guest_proto::{FromGuest, ToGuest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use shim_proto::RunSpec;
use shim_proto::connection::Connection;
use shim_proto::spec::{Carried, EngineSpec};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Holds an engine to its promises. `spec` must describe a program that runs until it gets a
/// signal and then ends.
///
/// # Panics
/// When a promise is broken.
pub fn run(make: &mut dyn FnMut() -> Box<dyn Engine>, spec: &RunSpec) {
    verbs_out_of_order_are_refused(make().as_mut());
    a_teardown_undoes_any_prefix(make, spec);
    a_program_runs_and_ends_by_a_signal(make().as_mut(), spec);
    a_kill_ends_a_run_at_once(make().as_mut(), spec);
    freezing_is_as_declared(make().as_mut(), spec);
    suspending_is_as_declared(make, spec);
    usage_is_told(make().as_mut(), spec);
}

fn verbs_out_of_order_are_refused(engine: &mut dyn Engine) {
    assert!(
        matches!(engine.go(), Err(EngineError::Order { .. })),
        "`go` before `prepare` is refused"
    );
    good("a teardown of nothing", engine.teardown());
}

fn a_teardown_undoes_any_prefix(make: &mut dyn FnMut() -> Box<dyn Engine>, spec: &RunSpec) {
    let mut engine = make();
    good("prepare", engine.prepare(spec));
    good("teardown after prepare", engine.teardown());
    good("a second teardown", engine.teardown());
    let mut engine = make();
    good("prepare after a teardown", engine.prepare(spec));
    let running = good("go", engine.go());
    good("teardown of a running machine", engine.teardown());
    assert!(is_over(&running, Duration::ZERO), "a teardown leaves no process");
}

fn a_program_runs_and_ends_by_a_signal(engine: &mut dyn Engine, spec: &RunSpec) {
    let (running, mut guest) = start(engine, spec);
    assert!(running.init_pid > 1, "the init has a pid on the host");
    good("signal", guest.send(&ToGuest::Signal { signal: spec.stop_signal }));
    let ended = hear(&mut guest, |message| match message {
        FromGuest::Exited(ended) => Some(ended),
        _ => None,
    });
    assert!(ended.code.is_some() != ended.signal.is_some(), "an end has one reason: {ended:?}");
    assert!(is_over(&running, PATIENCE), "the init ends after its program");
    assert_eq!(good("OOM count", engine.oom_kills()), 0, "no process was killed for want of RAM");
    good("teardown", engine.teardown());
}

fn a_kill_ends_a_run_at_once(engine: &mut dyn Engine, spec: &RunSpec) {
    let (running, _guest) = start(engine, spec);
    good("kill", engine.kill());
    assert!(is_over(&running, Duration::ZERO), "after a kill nothing runs");
    good("a second kill", engine.kill());
    good("teardown", engine.teardown());
}

fn freezing_is_as_declared(engine: &mut dyn Engine, spec: &RunSpec) {
    let (running, mut guest) = start(engine, spec);
    if engine.capabilities().can_freeze {
        good("freeze", engine.freeze());
        good("thaw", engine.thaw());
        good("thaw of what is not frozen", engine.thaw());
        good("a question", guest.send(&ToGuest::Shutdown));
        assert!(is_over(&running, PATIENCE), "a thawed machine obeys");
        good("teardown", engine.teardown());
        let (running, _guest) = start(engine, spec);
        good("freeze", engine.freeze());
        good("kill", engine.kill());
        assert!(is_over(&running, Duration::ZERO), "a frozen machine can be killed");
    } else {
        assert!(engine.freeze().is_err(), "what is not declared is refused");
    }
    good("teardown", engine.teardown());
}

fn suspending_is_as_declared(make: &mut dyn FnMut() -> Box<dyn Engine>, spec: &RunSpec) {
    let carried = Carried { epoch: 1, unread_base64: String::new(), started_at: 7, cpu_us: 5 };
    let mut engine = make();
    let (running, _guest) = start(engine.as_mut(), spec);
    let capabilities = engine.capabilities();
    if !capabilities.can_suspend {
        let suspended = engine.suspend(&carried, &mut || false);
        assert!(matches!(suspended, Err(EngineError::Unsupported { .. })), "{suspended:?}");
        good("teardown", engine.teardown());
        return;
    }
    good("freeze", engine.freeze());
    let suspended = engine.suspend(&carried, &mut || true);
    assert!(matches!(suspended, Err(EngineError::CalledOff)), "{suspended:?}");
    good("thaw of what was not suspended", engine.thaw());
    good("freeze", engine.freeze());
    assert!(good("suspend", engine.suspend(&carried, &mut || false)) > 0, "it takes room on disk");
    good("teardown", engine.teardown());
    assert!(is_over(&running, Duration::ZERO), "nothing runs of what is on disk");
    let mut engine = make();
    good("prepare of what is on disk", engine.prepare(&back(spec)));
    let running = good("go", engine.go());
    let resumed = running.resumed.as_ref().expect("it was on disk");
    assert_eq!(resumed.carried, carried, "what went to disk comes back");
    let mut guest = good("a connection", Connection::new(running.channel, carried.epoch + 1));
    let (version, version_min) = (guest_proto::VERSION, guest_proto::VERSION_MIN);
    good("hello", guest.send(&ToGuest::Hello { version, version_min }));
    let is_booted = hear(&mut guest, |message| match message {
        FromGuest::Hello { booted, .. } => Some(booted),
        _ => None,
    });
    assert!(is_booted, "its program runs on");
    good("teardown", engine.teardown());
    assert!(make().prepare(&back(spec)).is_err(), "it comes back once");
}

/// The order for a run that is on disk.
fn back(spec: &RunSpec) -> RunSpec {
    let mut spec = spec.clone();
    if let EngineSpec::Microvm(microvm) = &mut spec.engine {
        microvm.ram.is_resume = true;
    }
    spec
}

fn usage_is_told(engine: &mut dyn Engine, spec: &RunSpec) {
    let (_running, _guest) = start(engine, spec);
    let usage = good("usage", engine.usage());
    assert_eq!(usage.ram_limit_bytes, spec.limits.ram_bytes, "the limit is the one ordered");
    assert!(usage.pids >= 1, "there is a process");
    let capabilities = engine.capabilities();
    assert!(!capabilities.enforces_limits || usage.ram_bytes > 0, "a program takes RAM");
    assert!(!capabilities.has_disk || usage.disk_bytes > 0, "a disk takes room");
    good("teardown", engine.teardown());
}

/// Brings the program up and waits until it runs.
fn start(engine: &mut dyn Engine, spec: &RunSpec) -> (Running, Connection) {
    good("prepare", engine.prepare(spec));
    let running = good("go", engine.go());
    let channel = good("a copy of the channel", running.channel.try_clone());
    let mut guest = good("a connection", Connection::new(channel, 1));
    let (version, version_min) = (guest_proto::VERSION, guest_proto::VERSION_MIN);
    good("hello", guest.send(&ToGuest::Hello { version, version_min }));
    good("boot", guest.send(&ToGuest::Boot(Box::new(spec.orders.clone()))));
    hear(&mut guest, |message| match message {
        FromGuest::Started { .. } => Some(()),
        FromGuest::StartFailed { message, .. } => panic!("the program cannot start: {message}"),
        _ => None,
    });
    (running, guest)
}

/// Waits for the message that `wanted` takes.
fn hear<T>(guest: &mut Connection, wanted: impl Fn(FromGuest) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        while let Some(frame) = good("frames", guest.next_frame()) {
            if let Ok(message) = frame.message()
                && let Some(found) = wanted(message)
            {
                return found;
            }
        }
        assert!(is_readable(&*guest, deadline - Instant::now()), "the guest says nothing");
        good("read", guest.fill());
    }
}

/// Whether the init has ended, now or within `patience`.
fn is_over(running: &Running, patience: Duration) -> bool {
    is_readable(&running.pidfd, patience)
}

fn is_readable(fd: impl AsFd, patience: Duration) -> bool {
    let timeout = Timespec::try_from(patience).ok();
    good("poll", poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref())) > 0
}

fn good<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error}"))
}
