//! A second, much simpler model: is it wanted up or down, and which run is alive?
//!
//! It knows no states. It hears the events that were not refused and the effects that came of them.

use model::spec::{RestartMode, RestartPolicy};
use model::state::State;
use model::{Depth, Effect, Event, Exit, Machine, Next, RunId, Want};

/// What was done to the run that is alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    /// Nothing: if it ends, it ends by itself.
    #[default]
    Runs,
    /// It was sent to sleep.
    Sleeps,
    /// It was told to end.
    Ends,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    alive: Option<RunId>,
    fate: Fate,
    is_wanted_up: bool,
    /// The last wish was a stop, not a lighter sleep.
    is_wanted_stopped: bool,
    is_going_away: bool,
}

impl Oracle {
    /// Compares what the step did with what it should have done.
    pub(crate) fn check(&mut self, before: &Machine, event: &Event, next: &Next) {
        let expected = self.expected(before, event);
        self.follow(&next.effects);
        let state = &next.machine.state;
        let is_up = state.leads_up();
        if let Some(expected) = expected {
            assert_eq!(is_up, expected, "{event:?} in {before:?} led to {state:?}");
        }
        assert_eq!(
            state.run().map(|run| &run.id),
            self.alive.as_ref(),
            "the state names the run that is alive, after {event:?} in {before:?}"
        );
        assert!(!self.is_going_away || state.is_going_away(), "it came back: {state:?}");
        self.is_wanted_up = is_up;
        self.is_going_away = state.is_going_away();
        self.is_wanted_stopped = match event {
            Event::Want { want: Want::Up, .. } => false,
            Event::Want { want: Want::Down(depth), .. } if next.machine.state != before.state => {
                *depth == Depth::Stop
            }
            Event::Notice { rest, .. } if !matches!(before.state, State::Resting { .. }) => {
                rest.depth == Depth::Stop
            }
            _ => self.is_wanted_stopped && !matches!(state, State::Started { .. }),
        };
        match event {
            Event::Update { .. } => self.fate = Fate::Ends,
            _ if matches!(state, State::Started { .. } | State::Resting { .. }) => {
                self.fate = Fate::Runs;
            }
            _ => {}
        }
    }

    /// Whether it must be up, or on its way up, after `event`; `None` when both are right.
    fn expected(&self, before: &Machine, event: &Event) -> Option<bool> {
        match event {
            Event::Want { want: Want::Up, .. } | Event::Restart { .. } => Some(true),
            Event::Want { want: Want::Down(Depth::Stop), .. } | Event::Destroy { .. } => {
                Some(false)
            }
            Event::RunExited { .. } if self.is_going_away => Some(false),
            Event::RunExited { exit, policy, .. } => match self.fate {
                Fate::Ends => Some(self.is_wanted_up),
                Fate::Sleeps if self.is_wanted_up => Some(true),
                Fate::Runs if self.is_wanted_stopped => Some(false),
                Fate::Runs | Fate::Sleeps if before.hold_down.is_some() => None,
                Fate::Runs | Fate::Sleeps => by_policy(*policy, exit),
            },
            _ => None,
        }
    }

    fn follow(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Launch(run) => {
                    assert_eq!(self.alive, None, "a second start beside a run that is alive");
                    self.alive = Some(run.id.clone());
                    self.fate = Fate::Runs;
                    self.is_wanted_stopped = false;
                }
                Effect::Release(run) => {
                    assert_eq!(
                        self.alive.take(),
                        Some(run.id.clone()),
                        "released once, at its end"
                    );
                }
                Effect::Stop { .. } => self.fate = Fate::Ends,
                Effect::Sleep { .. } => self.fate = Fate::Sleeps,
                _ => {}
            }
        }
    }
}

/// A policy with retries left or not: only the sure cases are answered.
fn by_policy(policy: RestartPolicy, exit: &Exit) -> Option<bool> {
    match policy.mode {
        RestartMode::No => Some(false),
        RestartMode::Always => Some(true),
        RestartMode::OnFailure if exit.code == Some(0) => Some(false),
        RestartMode::OnFailure => None,
    }
}
