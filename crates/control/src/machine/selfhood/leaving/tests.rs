//! Tests of `leaving`.

use super::*;
use model::event::{RunSeed, StopOrder};
use model::spec::{RestartMode, RestartPolicy};
use model::state::Rest;
use model::{Depth, DurationMs, Exit, Machine, RunId, TimerKind, UnixMs, step};

const NOW: UnixMs = UnixMs(1_800_000_000_000);
const STOP: StopOrder = StopOrder { signal: 15, timeout: DurationMs::from_secs(5) };
const NEVER: RestartPolicy = RestartPolicy { mode: RestartMode::No, max_retries: 0 };

/// A machine, and who has put it to rest.
struct Life {
    machine: Machine,
    rested: Option<LastRest>,
}

impl Life {
    fn up() -> Self {
        let mut life = Self { machine: model::create(false, NOW).machine, rested: None };
        life.go(&Event::Prepared { seed: seed() });
        let want = Want::Up;
        life.go(&Event::Want { want, cause: Cause::knock(), seed: seed(), stop: STOP });
        life.started();
        life
    }

    fn go(&mut self, event: &Event) {
        let next = step(&self.machine, event, NOW).expect("the step is legal").machine;
        let (before, after) = (&self.machine.state, &next.state);
        if let Some(Report::Resting { cause }) = of_step(event, before, after, self.rested.as_ref())
        {
            self.rested = cause.map(|cause| LastRest { cause, at: NOW });
        }
        self.machine = next;
    }

    fn started(&mut self) {
        let run = self.machine.state.run().expect("it has a run").id.clone();
        self.go(&Event::RunStarted { run, at: NOW });
    }

    fn down(&mut self, depth: Depth, cause: Cause) {
        let want = Want::Down(depth);
        self.go(&Event::Want { want, cause, seed: seed(), stop: STOP });
    }

    fn exited(&mut self) {
        let run = self.machine.state.run().expect("it has a run").id.clone();
        let exit = Exit { code: Some(0), ..Exit::unseen(Some(NOW), NOW) };
        let seed = seed();
        self.go(&Event::RunExited { run, exit, policy: NEVER, auto_destroy: false, seed });
    }

    fn slept(&mut self) {
        let run = self.machine.state.run().expect("it has a run").id.clone();
        self.go(&Event::Slept { run, depth: Depth::Freeze, ram_bytes: 1 });
    }

    #[track_caller]
    fn is_put_to_rest_by(&self, cause: Option<Cause>) {
        assert_eq!(self.rested.clone().map(|rested| rested.cause), cause);
    }
}

fn seed() -> RunSeed {
    RunSeed {
        run: RunId::new(NOW, [1; 10]),
        slot: None,
        boot: "00000000-0000-0000-0000-000000000000".parse().expect("a boot id"),
    }
}

fn rule(id: &str) -> Cause {
    Cause::Rule { rule: id.to_owned() }
}

fn call() -> Cause {
    Cause::Api { actor: "local".to_owned(), overrides_deny: false, nonce: None }
}

#[test]
fn the_first_who_wants_it_counts_until_it_is_up_again() {
    let mut life = Life::up();
    life.is_put_to_rest_by(None);
    life.down(Depth::Stop, rule("idle"));
    life.down(Depth::Stop, call());
    life.exited();
    life.is_put_to_rest_by(Some(rule("idle")));
    life.down(Depth::Stop, call());
    life.is_put_to_rest_by(Some(rule("idle")));
}

#[test]
fn whoever_wants_it_deeper_counts_from_then_on() {
    let mut life = Life::up();
    life.down(Depth::Freeze, rule("nap"));
    life.slept();
    life.is_put_to_rest_by(Some(rule("nap")));
    life.down(Depth::Stop, call());
    life.is_put_to_rest_by(Some(call()));
    life.exited();
    life.is_put_to_rest_by(Some(call()));
}

#[test]
fn a_program_that_ends_was_put_to_rest_by_nobody() {
    let mut life = Life::up();
    life.exited();
    life.is_put_to_rest_by(None);
    let mut frozen = Life::up();
    frozen.down(Depth::Freeze, rule("nap"));
    frozen.slept();
    frozen.exited();
    frozen.is_put_to_rest_by(None);
}

#[test]
fn a_rest_that_was_announced_is_that_of_the_rule() {
    let mut life = Life::up();
    let rest = Rest { depth: Depth::Stop, cause: rule("idle"), order: STOP };
    life.go(&Event::Notice { rest, vetoes: 0 });
    life.is_put_to_rest_by(None);
    let kind = TimerKind::Rest;
    let State::Resting { deadline, .. } = life.machine.state else { panic!("it was told") };
    let next = step(&life.machine, &Event::Timer { kind, seed: seed(), stop: STOP }, deadline);
    let after = next.expect("the step is legal").machine.state;
    let event = Event::Timer { kind, seed: seed(), stop: STOP };
    let noted = of_step(&event, &life.machine.state, &after, None);
    assert_eq!(noted, Some(Report::Resting { cause: Some(rule("idle")) }));
}
