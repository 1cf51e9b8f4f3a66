//! What may happen, in words that fit every state; made into an event for the machine at hand.

use model::event::StopOrder;
use model::spec::{RestartMode, RestartPolicy};
use model::state::{HoldDown, Rest};
use model::{
    BootId, Cause, Depth, DurationMs, Event, Exit, Machine, PerMille, RunId, RunSeed, SlotId,
    TimerKind, UnixMs, Want,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// When lives begin.
pub(crate) const BEGIN: UnixMs = UnixMs(1_800_000_000_000);

#[derive(Clone, Debug)]
pub(crate) struct Happening {
    /// Milliseconds since the one before; negative when the clock goes back.
    after_ms: i64,
    what: What,
    /// A report is about an earlier run instead of the current one.
    is_stale: bool,
}

#[derive(Clone, Debug)]
enum What {
    Up(Cause),
    Down(Depth, Cause),
    Restart,
    Destroy {
        force: bool,
    },
    Update {
        launch: bool,
    },
    Prepared,
    PrepareFailed,
    RunStarted,
    RunFailed {
        is_transient: bool,
    },
    RunExited {
        code: i32,
        mode: RestartMode,
        auto_destroy: bool,
    },
    Slept(Depth),
    SleepFailed,
    Woke,
    Timer(TimerKind),
    /// The clock moves to the first armed timer, and it fires.
    DueTimer,
    Notice {
        depth: Depth,
        vetoes: u8,
    },
    Vetoed,
    Owe {
        in_ms: u64,
    },
    Forgive,
    HoldDown {
        on: bool,
    },
    Removed,
    Reboot(RestartMode),
}

/// The machine and what surrounds it.
pub(crate) struct Life {
    pub(crate) machine: Machine,
    pub(crate) now: UnixMs,
    n_runs: u64,
    n_boots: u32,
}

impl Life {
    pub(crate) fn new(machine: Machine) -> Self {
        Self { machine, now: BEGIN, n_runs: 0, n_boots: 0 }
    }

    /// Moves the clock and makes the event.
    pub(crate) fn event(
        &mut self,
        happening: &Happening,
        armed: &BTreeMap<TimerKind, UnixMs>,
    ) -> Event {
        self.now = UnixMs(self.now.0.saturating_add_signed(happening.after_ms));
        let run = self.run(happening.is_stale);
        match &happening.what {
            What::Up(cause) => self.want(Want::Up, cause),
            What::Down(depth, cause) => self.want(Want::Down(*depth), cause),
            What::Restart => Event::Restart { cause: api(), seed: self.seed(), stop: order() },
            What::Destroy { force } => Event::Destroy { force: *force },
            What::Update { launch } => Event::Update { launch: *launch, stop: order() },
            What::Prepared => Event::Prepared { seed: self.seed() },
            What::PrepareFailed => {
                Event::PrepareFailed { code: "c".to_owned(), message: "m".to_owned() }
            }
            What::RunStarted => Event::RunStarted { run, at: self.now },
            What::RunFailed { is_transient } => Event::RunFailed {
                run,
                code: "c".to_owned(),
                message: "m".to_owned(),
                is_transient: *is_transient,
                seed: self.seed(),
            },
            What::RunExited { code, mode, auto_destroy } => {
                let exit = Exit { code: Some(*code), ..Exit::unseen(Some(BEGIN), self.now) };
                let (policy, auto_destroy) = (policy(*mode), *auto_destroy);
                Event::RunExited { run, exit, policy, auto_destroy, seed: self.seed() }
            }
            What::Slept(depth) => Event::Slept { run, depth: *depth, ram_bytes: 1 },
            What::SleepFailed => Event::SleepFailed { run, message: "m".to_owned() },
            What::Woke => Event::Woke { run },
            What::Timer(kind) => self.timer(*kind),
            What::DueTimer => match armed.iter().min_by_key(|(_, at)| **at) {
                Some((kind, at)) => {
                    self.now = self.now.max(*at);
                    self.timer(*kind)
                }
                None => Event::Vetoed,
            },
            What::Notice { depth, vetoes } => {
                let rest = Rest { depth: *depth, cause: Cause::idle(), order: order() };
                Event::Notice { rest, vetoes: *vetoes }
            }
            What::Vetoed => Event::Vetoed,
            What::Owe { in_ms } => {
                Event::Owe { cause: Cause::Message, not_before: self.now.plus(DurationMs(*in_ms)) }
            }
            What::Forgive => Event::Forgive,
            What::HoldDown { on } => Event::HoldDown {
                hold: on.then(|| HoldDown { reason: "r".to_owned(), until: None }),
            },
            What::Removed => Event::Removed,
            What::Reboot(mode) => {
                self.n_boots += 1;
                let (policy, auto_destroy) = (policy(*mode), false);
                Event::HostRebooted { seed: self.seed(), policy, auto_destroy }
            }
        }
    }

    fn want(&mut self, want: Want, cause: &Cause) -> Event {
        Event::Want { want, cause: cause.clone(), seed: self.seed(), stop: order() }
    }

    fn timer(&mut self, kind: TimerKind) -> Event {
        Event::Timer { kind, seed: self.seed(), stop: order() }
    }

    fn run(&self, is_stale: bool) -> RunId {
        let stale = RunId::new(UnixMs(0), [0; 10]);
        self.machine.state.run().filter(|_| !is_stale).map_or(stale, |run| run.id.clone())
    }

    fn seed(&mut self) -> RunSeed {
        self.n_runs += 1;
        let run = RunId::new(UnixMs(self.n_runs), [1; 10]);
        let boot: BootId =
            format!("00000000-0000-4000-8000-{:012x}", self.n_boots).parse().expect("a boot id");
        RunSeed { run, slot: Some(SlotId(1)), boot }
    }
}

fn order() -> StopOrder {
    StopOrder { signal: 15, timeout: DurationMs(5_000) }
}

fn api() -> Cause {
    Cause::Api { actor: "local".to_owned(), overrides_deny: false, nonce: None }
}

fn policy(mode: RestartMode) -> RestartPolicy {
    RestartPolicy { mode, max_retries: 3 }
}

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(api()),
        Just(Cause::knock()),
        Just(Cause::Message),
        Just(Cause::idle()),
        Just(Cause::DiskPressure {
            free: PerMille(49),
            wrote_bytes: 1 << 30,
            within: DurationMs(200)
        }),
        Just(Cause::DiskRoom { free: PerMille(70) }),
    ]
}

fn depth() -> impl Strategy<Value = Depth> {
    prop_oneof![Just(Depth::Freeze), Just(Depth::Suspend), Just(Depth::Stop)]
}

fn mode() -> impl Strategy<Value = RestartMode> {
    prop_oneof![Just(RestartMode::No), Just(RestartMode::OnFailure), Just(RestartMode::Always)]
}

fn timer_kind() -> impl Strategy<Value = TimerKind> {
    prop_oneof![
        Just(TimerKind::Stuck),
        Just(TimerKind::Backoff),
        Just(TimerKind::Rest),
        Just(TimerKind::Owed)
    ]
}

fn what() -> impl Strategy<Value = What> {
    let exit = (0..2_i32, mode(), prop::bool::weighted(0.05));
    prop_oneof![
        6 => cause().prop_map(What::Up),
        6 => (depth(), cause()).prop_map(|(depth, cause)| What::Down(depth, cause)),
        2 => Just(What::Restart),
        1 => prop::bool::weighted(0.3).prop_map(|force| What::Destroy { force }),
        1 => any::<bool>().prop_map(|launch| What::Update { launch }),
        4 => Just(What::Prepared),
        1 => Just(What::PrepareFailed),
        8 => Just(What::RunStarted),
        2 => any::<bool>().prop_map(|is_transient| What::RunFailed { is_transient }),
        6 => exit.prop_map(|(code, mode, auto_destroy)| {
            What::RunExited { code, mode, auto_destroy }
        }),
        4 => prop_oneof![Just(Depth::Freeze), Just(Depth::Suspend)].prop_map(What::Slept),
        1 => Just(What::SleepFailed),
        4 => Just(What::Woke),
        2 => timer_kind().prop_map(What::Timer),
        6 => Just(What::DueTimer),
        2 => (depth(), 0..5_u8).prop_map(|(depth, vetoes)| What::Notice { depth, vetoes }),
        1 => Just(What::Vetoed),
        2 => (0..100_000_u64).prop_map(|in_ms| What::Owe { in_ms }),
        1 => Just(What::Forgive),
        1 => any::<bool>().prop_map(|on| What::HoldDown { on }),
        1 => Just(What::Removed),
        1 => mode().prop_map(What::Reboot),
    ]
}

fn after_ms() -> impl Strategy<Value = i64> {
    prop_oneof![
        10 => 0..5_000_i64,
        4 => 0..600_000_i64,
        1 => -7_200_000..0_i64,
        1 => 0..86_400_000_i64,
    ]
}

/// A life's worth of happenings.
pub(crate) fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = (after_ms(), what(), prop::bool::weighted(0.05))
        .prop_map(|(after_ms, what, is_stale)| Happening { after_ms, what, is_stale });
    prop::collection::vec(one, 1..60)
}
