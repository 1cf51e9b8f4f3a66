//! What a step of the machine's life means for its self.

use super::leaving;
use super::reports::{self, Step};
use super::sheet::Sheet;
use crate::error::ControlError;
use crate::machine::commit::{Along, is_transient};
use crate::machine::task::Task;
use govern::{Report, Write};
use model::state::Waking;
use model::{Cause, Event, News, Next, State, UnixMs, Want};

impl Task {
    /// What the platform notes of a step from `before`, on the sheet that is stored with it.
    pub(in crate::machine) fn noted(
        &mut self,
        event: &Event,
        before: &State,
        next: &Next,
        along: &mut Along,
        now: UnixMs,
    ) -> Result<(), ControlError> {
        if matches!(next.machine.state, State::Destroyed { .. }) {
            along.sheet = None;
            return Ok(());
        }
        let own = self.own()?.clone();
        let selfhood = along.sheet.as_ref().map_or(&own.selfhood, |sheet| &sheet.own.selfhood);
        let rested = selfhood.rested.as_ref();
        let leaving = leaving::of_step(event, before, &next.machine.state, rested);
        let notes = reports::of_step(&Step {
            event,
            before,
            next,
            selfhood,
            is_governed: own.is_governed(&self.record.machine),
            is_cold: self.is_cold,
            is_own_word: along.is_own_word,
            now,
        });
        let is_end = matches!(event, Event::RunExited { .. });
        if notes.is_empty() && leaving.is_none() && !is_end {
            return Ok(());
        }
        let mut sheet =
            along.sheet.take().unwrap_or_else(|| Sheet::new(&own, &self.inner.config.boot));
        if is_end {
            let used_ms = self.uncounted_cpu_ms(&own.policy);
            sheet.report(Report::Cpu { used_ms }, now);
            match self.trim(&mut sheet, now) {
                Ok(()) => {}
                Err(error) if is_transient(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(machine = %self.id, %error, "its trace is cut later");
                }
            }
        }
        for (note, at) in notes {
            match note {
                Write::Report(report) => sheet.report(report, at),
                note => sheet.write_by_platform(&note, at)?,
            }
        }
        if let Some(leaving) = leaving {
            sheet.report(leaving, now);
        }
        along.sheet = Some(sheet);
        Ok(())
    }

    /// What a committed step means for what comes: a new state is a reason to evaluate.
    pub(in crate::machine) fn stepped(&mut self, event: &Event, before: &State) {
        if before == self.state() {
            return;
        }
        self.must_evaluate = true;
        self.meter(event, before);
        let state = &self.record.machine.state;
        if reports::loses_ram(event, before, state) {
            self.is_cold = true;
        } else if matches!(state, State::Started { .. } | State::Stopped { .. }) {
            self.is_cold = false;
        }
        if !is_waking(state) {
            self.turn = None;
        }
    }

    /// Counts starts and rests.
    fn meter(&mut self, event: &Event, before: &State) {
        let waker = match before {
            State::Starting { cause, .. }
            | State::Suspended { wake: Some(Waking { cause, .. }), .. } => Some(cause),
            _ => None,
        };
        match (waker, &self.record.machine.state) {
            (Some(cause), State::Started { .. } | State::Resting { .. }) => {
                let took = self.timings.take_total();
                self.inner.meters.up(cause, took, &self.timings.all());
            }
            (Some(cause), State::Stopped { .. } | State::Failed { .. } | State::Backoff { .. }) => {
                self.inner.meters.failed(cause);
            }
            (None, after) if before.is_up() && !after.is_up() => match (event, before) {
                (Event::Want { want: Want::Down(depth), cause, .. }, _) => {
                    self.inner.meters.rests(cause, *depth);
                }
                (Event::Timer { .. }, State::Resting { rest, .. }) => {
                    self.inner.meters.rests(&rest.cause, rest.depth);
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// Says in its message why something happens that nobody called for: with the values of the decision,
/// where `sheet` has it.
pub(in crate::machine) fn put_into_words(news: &mut News, sheet: Option<&Sheet>) {
    let Some(cause) = &news.cause else { return };
    if news.message.is_some() || matches!(cause, Cause::Api { .. }) {
        return;
    }
    let words = sheet.and_then(|sheet| sheet.words_of(cause)).map(str::to_owned);
    news.message = Some(format!("by {}", words.unwrap_or_else(|| cause.words())));
}

/// Whether a wake is under way that needs the host now. While it waits for the end of something else,
/// other machines may take their turn.
const fn is_waking(state: &State) -> bool {
    matches!(
        state,
        State::Starting { .. }
            | State::Suspended { wake: Some(_), .. }
            | State::Suspending { wake: Some(_), .. }
    )
}

/// Whether a wake begins at once in this state: then it takes a turn.
pub(super) const fn wakes_at_once(state: &State) -> bool {
    matches!(
        state,
        State::Stopped { .. }
            | State::Failed { .. }
            | State::Backoff { .. }
            | State::Suspended { wake: None, .. }
    )
}
