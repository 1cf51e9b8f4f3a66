//! Parting from visitors before a rest that nobody called for.
//!
//! A rest is found right at one moment and carried out at a later one; a visitor may come between.
//! So the proxy is asked first: it lets nobody else in unless somebody is there already. Who is there
//! decides:
//!
//! ```text
//! idle      nobody may be there, nor have been since  ─► else it stays, and is looked at again
//! a rule    nobody whom the rule has not counted       ─► else it is looked at again at once
//! surplus   nothing new comes, who is there may finish ─► rests when they have gone, or stays when
//!                                                         that takes longer than [`FAREWELL_MAX`]
//! ```

use crate::machine::task::Task;
use crate::proxy::Quiet;
use model::cause::CauseClass;
use model::{Cause, Depth, UnixMs, Want};
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait for visitors of a machine that is one too many to finish. Source: machines-api 4.4,
/// "waits briefly for in-flight work".
const FAREWELL_MAX: Duration = Duration::from_secs(10);

/// Wait before a machine that turned out to be visited is looked at again: its load is told by then.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How often in a row a rule is asked again because visitors have come or gone since it was. Under
/// steady traffic its answer is always of a moment ago, and is taken then.
const ASKED_AGAIN_MAX: u8 = 10;

/// How far a machine has parted from its visitors.
#[derive(Debug, Default)]
pub(in crate::machine) struct Parting {
    /// Requests and connections that the last evaluation knew of, if it looked at them.
    seen: Option<(Option<u32>, Option<u32>)>,
    n_asked_again: u8,
    /// Nothing new comes in; those that are there have until then.
    until: Option<Instant>,
}

impl Parting {
    /// An evaluation has counted so many requests and connections; `None`: nothing in it depends on
    /// them.
    pub(super) fn seen(&mut self, visitors: Option<(Option<u32>, Option<u32>)>) {
        self.seen = visitors;
    }
}

impl Task {
    /// Whether no visitor stands against a rest for this cause; if so, none comes in any more.
    pub(super) async fn is_left(&mut self, cause: &Cause, now: UnixMs) -> bool {
        let is_governed = cause.class(Want::Down(Depth::Stop)) == CauseClass::Rest;
        // Nobody is with one that sleeps: who comes knocks, and is heard also on its way down.
        if !is_governed || self.record.spec.services.is_empty() || !self.state().is_up() {
            return true;
        }
        let is_surplus = matches!(cause, Cause::Excess { .. });
        if is_surplus && self.parting.until.is_some() && self.gone_at().is_none() {
            return self.say_farewell().await;
        }
        let is_quiet = self.inner.proxy.quiesce(&self.id, true).await == Quiet::Yes;
        let is_left = match cause {
            Cause::Idle { after } if is_quiet => {
                let after = after.unwrap_or_default();
                self.gone_at().is_some_and(|at| at.plus(after) <= now)
            }
            Cause::Idle { .. } => false,
            Cause::Excess { .. } if !is_quiet => return self.say_farewell().await,
            _ => is_quiet || self.are_visitors_known(),
        };
        if !is_left {
            // Somebody has come meanwhile, and perhaps gone again.
            self.inner.proxy.resume(&self.id);
            self.evaluate_after(LOOK_AGAIN);
        }
        is_left
    }

    /// Since when nobody has come in; asked after the proxy was, it knows of all who have.
    fn gone_at(&self) -> Option<UnixMs> {
        self.inner.governor.gone_at(&self.id)
    }

    /// Whether the rule that wants the rest has counted all who are there, as far as it looks.
    fn are_visitors_known(&mut self) -> bool {
        let visitors = self.inner.proxy.visitors(&self.id);
        let counted = visitors.map(|v| (v.n_requests, v.n_connections)).unzip();
        let Parting { seen, n_asked_again, .. } = &mut self.parting;
        let is_known = seen.is_none_or(|seen| seen == counted) || *n_asked_again == ASKED_AGAIN_MAX;
        *n_asked_again = if is_known { 0 } else { *n_asked_again + 1 };
        is_known
    }

    /// Lets nobody new in and those who are there finish, as long as that may take. Never true: when
    /// they have gone, the proxy says so by itself.
    async fn say_farewell(&mut self) -> bool {
        let now = Instant::now();
        match self.parting.until {
            Some(until) if until <= now => {
                self.inner.governor.put_off(&self.id);
                self.stay_unless(None);
            }
            until => {
                // Whatever it answers: only that it lets nobody else in counts here.
                let _is_quiet = self.inner.proxy.quiesce(&self.id, false).await;
                self.inner.proxy.drain(&self.id);
                let until = *self.parting.until.insert(until.unwrap_or(now + FAREWELL_MAX));
                self.evaluate_after(until - now);
            }
        }
        false
    }

    /// Lets visitors in again, unless the wish is still that it rests because it is one too many.
    pub(super) fn stay_unless(&mut self, wish: Option<&(Want, Cause)>) {
        let is_wanted = matches!(wish, Some((Want::Down(_), Cause::Excess { .. })));
        if !is_wanted && self.parting.until.take().is_some() {
            self.inner.proxy.resume(&self.id);
        }
    }
}
