//! Tests of `reports`.

use super::*;
use govern::write::{Ground, NoRows};
use govern::{Writer, no_policy};
use model::event::{RunSeed, StopOrder};
use model::spec::{RestartMode, RestartPolicy};
use model::{Depth, DurationMs, Machine, RunId, TimerKind};

const START: UnixMs = UnixMs(1_800_000_000_000);
const SECOND: DurationMs = DurationMs::from_secs(1);

/// A machine that takes steps, and remembers what is noted of them.
struct Life {
    machine: Machine,
    selfhood: Selfhood,
    now: UnixMs,
    is_governed: bool,
    n_runs: u8,
}

impl Life {
    fn new(is_governed: bool) -> Self {
        let machine = model::create(false, START).machine;
        let mut life =
            Self { machine, selfhood: Selfhood::default(), now: START, is_governed, n_runs: 0 };
        let seed = life.seed();
        assert!(life.go(Event::Prepared { seed }).is_empty());
        life
    }

    /// Takes a step a second later; what was noted, in words.
    fn go(&mut self, event: Event) -> Vec<&'static str> {
        self.now = self.now.plus(SECOND);
        let next = model::step(&self.machine, &event, self.now).expect("the step is legal");
        let step = Step {
            event: &event,
            before: &self.machine.state,
            next: &next,
            selfhood: &self.selfhood,
            is_governed: self.is_governed,
            is_cold: false,
            is_own_word: false,
            now: self.now,
        };
        let notes = of_step(&step);
        let words = notes.iter().map(|(note, _)| word(note)).collect();
        for (note, now) in notes {
            let policy = no_policy();
            let ground = Ground {
                selfhood: &self.selfhood,
                policy: &policy,
                rows: &NoRows,
                inbox_room: 0,
                now,
            };
            self.selfhood = govern::apply(&ground, &note, &Writer::Platform).expect("it may").next;
        }
        self.machine = next.machine;
        words
    }

    fn seed(&mut self) -> RunSeed {
        self.n_runs += 1;
        RunSeed {
            run: RunId::new(self.now, [self.n_runs; 10]),
            slot: None,
            boot: BOOT.parse().expect("a boot id"),
        }
    }

    fn up(&mut self, cause: Cause) -> Vec<&'static str> {
        let seed = self.seed();
        self.go(Event::Want { want: Want::Up, cause, seed, stop: STOP })
    }

    fn down(&mut self, cause: Cause) -> Vec<&'static str> {
        let seed = self.seed();
        self.go(Event::Want { want: Want::Down(Depth::Stop), cause, seed, stop: STOP })
    }

    fn run(&self) -> RunId {
        self.machine.state.run().expect("there is a run").id.clone()
    }

    fn started(&mut self) -> Vec<&'static str> {
        let (run, at) = (self.run(), self.now);
        self.go(Event::RunStarted { run, at })
    }

    fn exits(&mut self, started_at: Option<UnixMs>) -> Vec<&'static str> {
        let (run, seed) = (self.run(), self.seed());
        let exit = Exit { code: Some(0), ..Exit::unseen(started_at, self.now) };
        self.go(Event::RunExited { run, exit, policy: NEVER, auto_destroy: false, seed })
    }

    fn fails(&mut self) -> Vec<&'static str> {
        let (run, seed) = (self.run(), self.seed());
        let (code, message) = ("x".to_owned(), "x".to_owned());
        self.go(Event::RunFailed { run, code, message, is_transient: false, seed })
    }
}

const BOOT: &str = "11111111-1111-4111-8111-111111111111";
const NEXT_BOOT: &str = "22222222-2222-4222-8222-222222222222";
const STOP: StopOrder = StopOrder { signal: 2, timeout: SECOND };
const NEVER: RestartPolicy = RestartPolicy { mode: RestartMode::No, max_retries: 0 };

fn call() -> Cause {
    Cause::Api { actor: "local".to_owned(), overrides_deny: false, nonce: None }
}

fn rule() -> Cause {
    Cause::Rule { rule: "pile".to_owned() }
}

fn word(note: &Write) -> &'static str {
    match note {
        Write::Stop => "stop",
        Write::Report(Report::Woken { .. }) => "woken",
        Write::Report(Report::Up { .. }) => "up",
        Write::Report(Report::WakeFailed) => "failed",
        Write::Report(Report::Rested { .. }) => "rested",
        Write::Report(Report::Exited { .. }) => "exited",
        Write::Report(Report::Vetoed) => "vetoed",
        other => panic!("{other:?} is no note"),
    }
}

#[test]
fn a_governed_wake_is_noted_before_anything_runs() {
    let mut life = Life::new(true);
    assert_eq!(life.up(rule()), ["woken"]);
    assert_eq!(life.started(), ["up"]);
    assert_eq!(life.selfhood.ledger.wakes_last_hour(life.now), 1);
    assert_eq!(life.down(rule()), [""; 0], "a rest by rule silences nothing");
    assert_eq!(life.exits(Some(START)), ["exited"]);
    let wake = life.selfhood.wake.expect("it was woken");
    assert!(wake.reached && wake.ended && wake.is_governed);
}

#[test]
fn a_start_that_nothing_follows_from_is_noted_when_the_program_runs() {
    let mut life = Life::new(false);
    assert_eq!(life.up(call()), [""; 0]);
    let accepted_at = life.now;
    assert_eq!(life.started(), ["woken", "up"]);
    let wake = life.selfhood.wake.clone().expect("it was woken");
    assert_eq!((wake.at, wake.cause), (accepted_at, call()));
    assert_eq!(life.down(call()), ["stop"]);
    assert_eq!(life.exits(Some(START)), ["exited"]);
}

#[test]
fn a_start_that_fails_is_noted_with_its_cause() {
    let mut life = Life::new(false);
    life.up(call());
    assert_eq!(life.fails(), ["woken", "failed"]);
    life.up(call());
    assert_eq!(life.exits(None), ["woken", "failed"], "lost before it ran");
    assert_eq!(life.selfhood.signals.wake_failures, 2);
    life.is_governed = true;
    assert_eq!(life.up(rule()), ["woken"]);
    assert_eq!(life.fails(), ["failed"]);
    assert_eq!(life.selfhood.signals.wake_failures, 3);
    assert!(life.selfhood.ledger.breaker_until(life.now).is_some());
}

#[test]
fn a_wake_whose_plan_fails_has_failed() {
    let failed =
        || Event::PrepareFailed { code: "image_missing".to_owned(), message: "x".to_owned() };
    let mut life = Life::new(true);
    life.machine.state = State::Creating { since: life.now, launch: false };
    assert_eq!(life.up(rule()), ["woken"]);
    assert_eq!(life.go(failed()), ["failed"]);
    assert_eq!(life.selfhood.signals.wake_failures, 1);

    let mut unwoken = Life::new(true);
    unwoken.machine.state = State::Creating { since: unwoken.now, launch: true };
    assert_eq!(unwoken.go(failed()), [""; 0], "nobody woke it");
}

#[test]
fn a_stop_of_a_machine_that_is_down_is_noted() {
    let mut life = Life::new(true);
    let before = life.machine.clone();
    assert_eq!(life.down(call()), ["stop"]);
    assert_eq!(life.machine, before);
    assert_eq!(life.down(rule()), [""; 0]);
}

#[test]
fn a_program_that_ends_before_its_start_is_heard_of_was_up() {
    let mut life = Life::new(true);
    life.up(rule());
    let at = life.now;
    assert_eq!(life.exits(Some(at)), ["up", "exited"]);
    assert_eq!(life.selfhood.signals.last_exit, Some(0));
}

#[test]
fn a_wake_during_a_stop_is_one_wake() {
    let mut life = Life::new(true);
    life.up(call());
    life.started();
    assert_eq!(life.down(call()), ["stop"]);
    assert_eq!(life.up(rule()), ["woken"]);
    assert_eq!(life.exits(Some(START)), ["exited"]);
    assert_eq!(life.started(), ["up"]);
    assert_eq!(life.selfhood.ledger.wakes_last_hour(life.now), 1);
    assert_eq!(life.selfhood.wake.clone().map(|wake| wake.cause), Some(rule()));
}

#[test]
fn a_rest_taken_back_is_no_wake() {
    let mut life = Life::new(true);
    life.up(rule());
    assert_eq!(life.down(rule()), [""; 0]);
    assert_eq!(life.up(rule()), [""; 0]);
    assert_eq!(life.started(), ["up"]);
}

#[test]
fn freeze_and_thaw() {
    let mut life = Life::new(true);
    life.up(rule());
    life.started();
    let seed = life.seed();
    let freeze = Want::Down(Depth::Freeze);
    life.go(Event::Want { want: freeze, cause: rule(), seed, stop: STOP });
    let run = life.run();
    assert_eq!(
        life.go(Event::Slept { run: run.clone(), depth: Depth::Freeze, ram_bytes: 1 }),
        ["rested"]
    );
    assert_eq!(life.up(rule()), ["woken"]);
    assert_eq!(life.go(Event::Woke { run }), ["up"]);
    assert_eq!(life.selfhood.ups, 2);
    assert_eq!(life.selfhood.ledger.wakes_last_hour(life.now), 2);
}

#[test]
fn a_restart_by_policy_is_a_wake_of_its_own() {
    let mut life = Life::new(true);
    life.up(rule());
    life.started();
    let (run, seed) = (life.run(), life.seed());
    let always = RestartPolicy { mode: RestartMode::Always, max_retries: 10 };
    let exit = Exit { code: Some(1), ..Exit::unseen(Some(START), life.now) };
    let exited = Event::RunExited { run, exit, policy: always, auto_destroy: false, seed };
    assert_eq!(life.go(exited), ["exited"]);
    life.now = life.now.plus(DurationMs::from_secs(60));
    let seed = life.seed();
    let due = Event::Timer { kind: TimerKind::Backoff, seed, stop: STOP };
    assert_eq!(life.go(due), ["woken"]);
    assert_eq!(life.started(), ["up"]);
    assert_eq!(life.selfhood.ledger.wakes_last_hour(life.now), 1, "it is not governed");
}

#[test]
fn a_veto_is_noted_when_it_is_heard() {
    let mut life = Life::new(true);
    life.up(rule());
    life.started();
    let rest = model::state::Rest { depth: Depth::Stop, cause: rule(), order: STOP };
    assert_eq!(life.go(Event::Notice { rest: rest.clone(), vetoes: 0 }), [""; 0]);
    assert_eq!(life.go(Event::Vetoed), ["vetoed"]);
    life.go(Event::Notice { rest, vetoes: 3 });
    assert_eq!(life.go(Event::Vetoed), [""; 0], "three are enough");
}

#[test]
fn a_reboot_ends_what_was_up() {
    let mut life = Life::new(true);
    life.up(rule());
    life.started();
    let seed = RunSeed { boot: NEXT_BOOT.parse().expect("a boot id"), ..life.seed() };
    let rebooted = Event::HostRebooted { seed, policy: NEVER, auto_destroy: false };
    assert_eq!(life.go(rebooted), ["rested"]);
    assert_eq!(life.selfhood.usage.up_since, None);
}

#[test]
fn a_sleeper_that_comes_no_deeper_and_runs_is_up() {
    let mut life = Life::new(true);
    life.up(call());
    let at = life.now;
    let run = life.machine.state.run().expect("it has a run").id.clone();
    assert_eq!(life.go(Event::RunStarted { run: run.clone(), at }), ["up"]);
    let seed = life.seed();
    let want = |depth| Event::Want {
        want: Want::Down(depth),
        cause: rule(),
        seed: seed.clone(),
        stop: StopOrder { signal: 15, timeout: SECOND },
    };
    let failed = || Event::SleepFailed { run: run.clone(), message: "no room".to_owned() };
    assert_eq!(life.go(want(Depth::Suspend)), [""; 0]);
    assert_eq!(life.go(failed()), [""; 0], "it was up all the time");
    assert_eq!(life.go(want(Depth::Freeze)), [""; 0]);
    let slept = Event::Slept { run: run.clone(), depth: Depth::Freeze, ram_bytes: 1 };
    assert_eq!(life.go(slept), ["rested"]);
    assert_eq!(life.go(want(Depth::Suspend)), [""; 0]);
    assert_eq!(life.go(failed()), ["up"]);
    assert!(life.selfhood.usage.up_since.is_some());
}
