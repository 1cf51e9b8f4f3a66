//! Values for unit tests.

use crate::cause::{Cause, Depth, Want};
use crate::effect::TimerKind;
use crate::event::{Event, Exit, RunSeed, StopOrder};
use crate::ids::{BootId, RunId, SlotId};
use crate::restart::RestartLog;
use crate::spec::{RestartMode, RestartPolicy};
use crate::state::{AfterStop, Machine, Nudges, Rest, Run, State, Waking};
use crate::units::{DurationMs, PerMille, UnixMs};

/// A moment from which tests go on.
pub(crate) const NOW: UnixMs = UnixMs(1_800_000_000_000);

pub(crate) const ORDER: StopOrder = StopOrder { signal: 2, timeout: DurationMs(5_000) };

pub(crate) fn boot(n: u8) -> BootId {
    format!("00000000-0000-4000-8000-0000000000{n:02x}").parse().unwrap()
}

pub(crate) fn seed(n: u8) -> RunSeed {
    RunSeed { run: run_id(n), slot: Some(SlotId(u16::from(n))), boot: boot(0) }
}

pub(crate) fn run_id(n: u8) -> RunId {
    RunId::new(UnixMs(0), [n; 10])
}

pub(crate) fn run(n: u8, started_at: Option<UnixMs>) -> Run {
    let RunSeed { run: id, slot, boot } = seed(n);
    Run { id, slot, boot, accepted_at: NOW, started_at }
}

pub(crate) fn machine(state: State) -> Machine {
    let restarts = RestartLog::default();
    Machine {
        state,
        revision: 7,
        restarts,
        owed: None,
        hold_down: None,
        nudges: Nudges::default(),
        unprepared: None,
    }
}

pub(crate) fn api() -> Cause {
    Cause::Api { actor: "local".to_owned(), overrides_deny: false, nonce: None }
}

/// The host's word that the disk is nearly full.
pub(crate) fn pressure() -> Cause {
    let (free, within) = (PerMille(41), DurationMs(2_000));
    Cause::DiskPressure { free, wrote_bytes: 1 << 30, within }
}

/// The host's word that there is room again.
pub(crate) fn room() -> Cause {
    Cause::DiskRoom { free: PerMille(80) }
}

/// Frozen for want of room on the disk.
pub(crate) fn pressed() -> Machine {
    machine(State::Suspended {
        run: run(1, Some(NOW)),
        depth: Depth::Freeze,
        since: NOW,
        ram_bytes: 0,
        cause: Some(pressure()),
        wake: None,
    })
}

pub(crate) fn want(want: Want, cause: Cause) -> Event {
    Event::Want { want, cause, seed: seed(9), stop: ORDER }
}

pub(crate) fn exited(n: u8, code: i32, mode: RestartMode) -> Event {
    Event::RunExited {
        run: run_id(n),
        exit: Exit { code: Some(code), ..Exit::unseen(Some(NOW), NOW) },
        policy: RestartPolicy { mode, max_retries: 10 },
        auto_destroy: false,
        seed: seed(9),
    }
}

/// The host is in its next boot.
pub(crate) fn reboot(policy: RestartPolicy, auto_destroy: bool) -> Event {
    let seed = RunSeed { boot: boot(1), ..seed(9) };
    Event::HostRebooted { seed, policy, auto_destroy }
}

pub(crate) fn fired(kind: TimerKind) -> Event {
    Event::Timer { kind, seed: seed(9), stop: ORDER }
}

/// Every state once, and transient variants that decide differently, each with a name.
pub(crate) fn states() -> Vec<(&'static str, State)> {
    let rest = || Rest { depth: Depth::Freeze, cause: Cause::idle(), order: ORDER };
    let up = || run(1, Some(NOW));
    let stopping = |then| State::Stopping {
        run: up(),
        since: NOW,
        deadline: NOW.plus(ORDER.timeout),
        order: ORDER,
        then,
    };
    let suspending = |wake| State::Suspending {
        run: up(),
        depth: Depth::Freeze,
        since: NOW,
        cause: Some(api()),
        wake,
    };
    let suspended = |depth, wake| State::Suspended {
        run: up(),
        depth,
        since: NOW,
        ram_bytes: 0,
        cause: Some(api()),
        wake,
    };
    let waking = || Some(Waking { cause: Cause::knock(), since: NOW });
    let starting = |then| State::Starting { run: run(1, None), cause: api(), then };
    vec![
        ("creating", State::Creating { since: NOW, launch: true }),
        ("creating_only", State::Creating { since: NOW, launch: false }),
        ("starting", starting(None)),
        ("starting_to_rest", starting(Some(rest()))),
        ("started", State::Started { run: up() }),
        (
            "resting",
            State::Resting {
                run: up(),
                rest: rest(),
                deadline: NOW.plus(crate::deadline::REST_NOTICE),
                vetoes: 0,
            },
        ),
        ("stopping", stopping(AfterStop::Stay)),
        ("restarting", stopping(AfterStop::Start { cause: api() })),
        ("stopped", State::Stopped { since: NOW, exit: None }),
        ("suspending", suspending(None)),
        ("suspending_to_wake", suspending(Some(Cause::knock()))),
        ("frozen", suspended(Depth::Freeze, None)),
        ("suspended", suspended(Depth::Suspend, None)),
        ("waking", suspended(Depth::Suspend, waking())),
        ("backoff", State::Backoff { until: NOW, exit: Exit::unseen(Some(NOW), NOW) }),
        ("updating", State::Updating { since: NOW, launch: false, run: None, order: None }),
        (
            "updating_run",
            State::Updating { since: NOW, launch: true, run: Some(up()), order: Some(ORDER) },
        ),
        ("failed", State::Failed { since: NOW, code: "c".to_owned(), message: "m".to_owned() }),
        ("destroying", State::Destroying { since: NOW, run: None }),
        ("destroying_run", State::Destroying { since: NOW, run: Some(up()) }),
        ("destroyed", State::Destroyed { since: NOW }),
    ]
}

/// The machine in the state of this name.
pub(crate) fn named(name: &str) -> Machine {
    let (_, state) = states().into_iter().find(|(n, _)| *n == name).expect("a known state");
    machine(state)
}
