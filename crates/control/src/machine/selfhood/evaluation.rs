//! What follows from the record: evaluated after whatever may have changed that, and brought to the
//! one door.

use super::own::Own;
use super::sheet::Sheet;
use super::sight::Sight;
use super::{autostop, deepens_later};
use crate::error::ControlError;
use crate::governor::{Reads, RestPermit};
use crate::machine::commit::{Along, is_transient};
use crate::machine::launch::words_of;
use crate::machine::task::Task;
use crate::notify;
use govern::view::Request;
use govern::{Verdict, View};
use model::cause::{CauseClass, KnockRequest};
use model::{Cause, DurationMs, Event, GateFacts, Machine, State, UnixMs, Want};

/// Wait before a machine that could not be evaluated, for a reason that is not over in a moment, is
/// evaluated again.
const LOOK_AGAIN: DurationMs = DurationMs::from_secs(60);

impl Task {
    /// The machine's self, read when it is first needed.
    pub(in crate::machine) fn own(&mut self) -> Result<&Own, ControlError> {
        if self.own.is_none() {
            self.own = Some(Own::load(&self.inner, &self.id)?);
        }
        Ok(self.own.as_ref().expect("it has just been read"))
    }

    /// What governance says to the gates for somebody else's wish. A self that cannot be read wakes
    /// nothing, and is no reason for callers to leave a machine down for ever.
    pub(in crate::machine) fn governance(&mut self, cause: &Cause, now: UnixMs) -> GateFacts {
        self.gates_now(cause, now).unwrap_or_else(|error| {
            tracing::error!(machine = %self.id, %error, "its governance has no say in this");
            GateFacts { breaker_until: Some(UnixMs(u64::MAX)), ..GateFacts::default() }
        })
    }

    fn gates_now(&mut self, cause: &Cause, now: UnixMs) -> Result<GateFacts, ControlError> {
        let own = self.own()?.clone();
        if !self.is_governed(&own) {
            return Ok(GateFacts::default());
        }
        let sight = Sight::of(&self.inner.governor, &self.record, &own)?;
        let request = match cause {
            Cause::Knock { request: Some(request), .. } => {
                let KnockRequest { method, host, path } = request;
                Some(Request { host, path, method })
            }
            _ => None,
        };
        let view = View { request, ..sight.view(&self.record.machine) };
        Ok(govern::knock(&own.selfhood, &own.policy, &view, now))
    }

    /// Evaluates, stores and brings what follows to the door. While a start is under way that waits
    /// for its end, which is near.
    pub(in crate::machine) async fn evaluate(&mut self) {
        self.must_evaluate = false;
        let next_at = match Box::pin(self.evaluate_now()).await {
            Ok(next_at) => next_at,
            Err(error) if is_transient(&error) => {
                tracing::error!(machine = %self.id, %error, "an evaluation waits for the store");
                self.must_evaluate = true;
                self.retry_later();
                None
            }
            Err(error) => {
                let (code, message) = words_of(&error);
                tracing::error!(machine = %self.id, code, message, "it cannot be evaluated");
                // What cannot be read is as unreadable in a minute: its next write comes first.
                let is_unreadable = matches!(error, ControlError::SelfUnreadable { .. });
                (!is_unreadable).then(|| model::clock::now().plus(LOOK_AGAIN))
            }
        };
        self.inner.governor.set_next(&self.id, next_at);
    }

    /// When it must be evaluated again although nothing happens.
    async fn evaluate_now(&mut self) -> Result<Option<UnixMs>, ControlError> {
        if self.state().is_going_away() {
            return Ok(None);
        }
        let now = model::clock::now();
        let own = self.own()?.clone();
        self.arm_cpu(&own.policy);
        if !self.is_governed(&own) {
            self.inner.governor.set_reads(&self.id, &self.record.app, &Reads::default());
            self.inner.governor.no_turn(&self.id);
            return Ok(None);
        }
        let mut reads = Reads::of(&own.policy, &own.selfhood);
        // A rest that its app does not permit is looked at again when another machine is up.
        reads.app_running |= self.min_running() > 0;
        reads.autostop = autostop::is_on(&self.record);
        // Said first, looked at second: no change between is missed.
        self.inner.governor.set_reads(&self.id, &self.record.app, &reads);
        let sight = Sight::with(&self.inner.governor, &self.record, &own, &reads)?;
        let looks_at_visitors = reads.activity || reads.visitors;
        self.parting.seen(looks_at_visitors.then(|| sight.visitors()));
        let (verdict, permit) = self.permitted(&own, sight, now);
        let mut sheet = Sheet::new(&own, &self.inner.config.boot);
        let letters = notify::letters(&self.id, &self.record.app, &verdict, now);
        sheet.decide(&verdict, letters, now);
        self.trim(&mut sheet, now)?;
        failpoint::hit("self.evaluated");
        let again_at = Box::pin(self.follow(&verdict, sheet, now)).await?;
        drop(permit);
        Ok(verdict.next_at.into_iter().chain(again_at).min())
    }

    /// What follows, with leave to rest if it follows that it rests. Only who wants to rest asks for
    /// leave: one that does not must not keep another of its app from it. One that sleeps is missed by
    /// nobody if it sleeps deeper.
    fn permitted(&self, own: &Own, mut sight: Sight, now: UnixMs) -> (Verdict, Option<RestPermit>) {
        let machine = &self.record.machine;
        let permitted = verdict(own, &sight, machine, now);
        if !rests(&permitted) || matches!(machine.state, State::Suspended { .. }) {
            return (permitted, None);
        }
        let permit = self.rest_permit();
        if permit.is_some() {
            return (permitted, permit);
        }
        sight.no_rest_permit = true;
        (verdict(own, &sight, machine, now), None)
    }

    /// Stores what an evaluation says, with the step that follows from it. Some gates are no part of
    /// governance: when it must be looked at again because of one of these.
    async fn follow(
        &mut self,
        verdict: &Verdict,
        sheet: Sheet,
        now: UnixMs,
    ) -> Result<Option<UnixMs>, ControlError> {
        if !matches!(verdict.wish, Some((Want::Up, _))) {
            self.inner.governor.no_turn(&self.id);
        }
        let along = Along { sheet: Some(sheet), ..Along::default() };
        self.stay_unless(verdict.wish.as_ref());
        match &verdict.wish {
            Some((Want::Up, cause)) => return self.wake(cause, &verdict.gates, along, now).await,
            Some((want @ Want::Down(depth), cause)) => {
                let rest = (*want, *depth, cause);
                return self.rest(rest, &verdict.gates, along, now).await;
            }
            None if verdict.veto => self.apply_with(Event::Vetoed, along).await?,
            None if self.may_retire(verdict, now) => {
                self.apply_with(Event::Destroy { force: false }, along).await?;
            }
            None if self.is_owed_in_vain(verdict) => self.apply_with(Event::Forgive, along).await?,
            None => self.store_along(along).await?,
        }
        Ok(None)
    }

    /// Whether anything may want it up.
    pub(in crate::machine) fn wants_something(&mut self) -> bool {
        if self.record.machine.owed.is_some() {
            return true;
        }
        match self.own() {
            Ok(own) => own.clone().is_governed(&self.record.machine),
            Err(_) => false,
        }
    }

    /// Whether an evaluation could lead to anything.
    fn is_governed(&self, own: &Own) -> bool {
        autostop::is_on(&self.record)
            || deepens_later(self.record.spec.deepen, self.state())
            || own.is_governed(&self.record.machine)
    }
}

/// Whether its governance wants it to rest, or to go.
fn rests(verdict: &Verdict) -> bool {
    let wishes = verdict.wish.as_ref();
    verdict.retire.is_some() || wishes.is_some_and(|(want, by)| by.class(*want) == CauseClass::Rest)
}

fn verdict(own: &Own, sight: &Sight, machine: &Machine, now: UnixMs) -> Verdict {
    govern::evaluate(&own.selfhood, &own.policy, &sight.view(machine), now)
}
