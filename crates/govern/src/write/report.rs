//! What the platform says about a machine. Each report may come twice, as an effect may.

use super::Draft;
use crate::limits::WAKE_FAILURES_MAX;
use crate::refused::WriteRefused;
use crate::rights::Action;
use crate::selfhood::{LastRest, LastWake, Selfhood};
use model::cause::CauseClass;
use model::{Cause, Exit, UnixMs, Want};
use policy::Name;

/// Something the platform noticed.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A wake was admitted.
    Woken {
        /// Why.
        cause: Cause,
    },
    /// It is up: its program runs, or runs again.
    Up {
        /// When.
        at: UnixMs,
        /// A resume was meant, and had to start from nothing.
        cold: bool,
    },
    /// A wake did not get so far.
    WakeFailed,
    /// It begins to rest, or goes on to a deeper rest; or it is none any more that was put to rest.
    /// Leaves no entry: the decision or the call has one.
    Resting {
        /// Why.
        cause: Option<Cause>,
    },
    /// It went to rest, at whatever depth.
    Rested {
        /// When.
        at: UnixMs,
        /// Requests were served since it came up.
        served: bool,
    },
    /// Its program ended.
    Exited {
        /// How.
        exit: Exit,
        /// Requests were served since it came up.
        served: bool,
    },
    /// CPU time that was used since the last such report.
    Cpu {
        /// How much, in milliseconds.
        used_ms: u64,
    },
    /// The machine objected to a rest, and was heard.
    Vetoed,
    /// A notification may not be sent, or is given up.
    Undelivered {
        /// The rule that wanted it sent.
        rule: String,
        /// Why, in a word.
        code: String,
    },
}

pub(super) fn note(draft: &mut Draft<'_>, report: &Report) -> Result<(), WriteRefused> {
    Action::Report.check(draft.writer)?;
    let before = draft.next.clone();
    let now = draft.now();
    let next = &mut draft.next;
    let line = match report {
        Report::Woken { cause } => woken(next, cause, now),
        Report::Up { at, cold } => up(next, *at, *cold),
        Report::WakeFailed => wake_failed(next, now),
        Report::Resting { cause } => {
            next.rested = cause.clone().map(|cause| LastRest { cause, at: now });
            return Ok(());
        }
        Report::Rested { at, served } => {
            rested(next, *at, *served, now);
            "rested".to_owned()
        }
        Report::Exited { exit, served } => {
            next.signals.last_exit = Some(exit.shell_code());
            next.signals.oom = exit.oom_killed;
            let finished = finished_alarm(next, exit, now);
            rested(next, exit.exited_at, *served || finished.is_some(), now);
            let also = finished.map(|name| format!("; alarm `{name}` has done its work"));
            format!("exited with {}{}", exit.shell_code(), also.unwrap_or_default())
        }
        Report::Cpu { used_ms } => {
            next.usage.count(now, |tally| tally.cpu_ms = tally.cpu_ms.saturating_add(*used_ms));
            draft.touched(
                |name| matches!(name, Name::Platform(n) if n.row().text.starts_with("usage.cpu")),
            );
            return Ok(());
        }
        Report::Vetoed => {
            next.ledger.vetoes = next.ledger.vetoes.saturating_add(1);
            "the machine objected to a rest".to_owned()
        }
        Report::Undelivered { rule, code } => {
            draft.changed(&format!("notification by rule `{rule}` not delivered: {code}"));
            return Ok(());
        }
    };
    if draft.next != before {
        draft.changed(&line);
        draft.is_wake_relevant = true;
    }
    Ok(())
}

fn woken(next: &mut Selfhood, cause: &Cause, now: UnixMs) -> String {
    // A wake may come while the machine is still on its way to rest: the one before is over then.
    conclude(next, false, now);
    let is_governed = cause.class(Want::Up) == CauseClass::Governed;
    if is_governed {
        next.ledger.count_wake(now);
        next.usage.count(now, |tally| tally.wakes = tally.wakes.saturating_add(1));
    }
    next.wake = Some(LastWake {
        cause: cause.clone(),
        at: now,
        is_governed,
        reached: false,
        cold: false,
        progressed: false,
        ended: false,
    });
    "woken".to_owned()
}

fn up(next: &mut Selfhood, at: UnixMs, cold: bool) -> String {
    next.rested = None;
    next.ups += u64::from(next.usage.begin(at));
    next.signals.resumed_cold = cold;
    next.signals.wake_failures = 0;
    next.ledger.breaker = crate::selfhood::Breaker::default();
    if let Some(wake) = next.wake.as_mut().filter(|wake| !wake.ended) {
        wake.reached = true;
        wake.cold = cold;
    }
    if cold { "up, from nothing".to_owned() } else { "up".to_owned() }
}

fn wake_failed(next: &mut Selfhood, now: UnixMs) -> String {
    next.usage.end(now);
    next.ledger.rested_at = Some(now);
    if let Some(wake) = next.wake.as_mut().filter(|wake| !wake.ended) {
        wake.ended = true;
        next.signals.wake_failures = next.signals.wake_failures.saturating_add(1);
        if next.signals.wake_failures >= WAKE_FAILURES_MAX {
            next.ledger.trip(now);
        }
    }
    format!("a wake failed, {} in a row", next.signals.wake_failures)
}

/// The alarm that woke the machine, if its program has ended well by itself since: a job that is done
/// need not know of alarms to be left alone until the next one. It is acknowledged.
fn finished_alarm(next: &mut Selfhood, exit: &Exit, now: UnixMs) -> Option<String> {
    let is_well = exit.code == Some(0) && !exit.requested_stop && exit.started_at.is_some();
    let wake = next.wake.as_ref().filter(|wake| is_well && !wake.ended)?;
    let woken_at = wake.at;
    let name = match &wake.cause {
        Cause::Alarm { alarm } => alarm.clone(),
        Cause::Schedule => next.schedule()?.to_owned(),
        _ => return None,
    };
    let alarm = next.alarms.get_mut(&name)?;
    alarm.due.filter(|due| due.since <= woken_at)?;
    alarm.ack(now);
    let is_over = alarm.is_over();
    if is_over {
        next.alarms.remove(&name);
    }
    next.mutes.alarms.remove(&name);
    Some(name)
}

fn rested(next: &mut Selfhood, at: UnixMs, served: bool, now: UnixMs) {
    next.usage.end(at);
    next.ledger.rested_at = Some(at.min(now));
    next.ledger.vetoes = 0;
    conclude(next, served, now);
}

/// What came of the last wake, if that is not yet known. One that never got up is no end of a run.
fn conclude(next: &mut Selfhood, served: bool, now: UnixMs) {
    let Some(wake) = next.wake.as_mut().filter(|wake| wake.reached && !wake.ended) else { return };
    wake.ended = true;
    wake.progressed |= served;
    if wake.progressed {
        next.signals.wakes_without_progress = 0;
        next.ledger.no_progress_until = None;
    } else if wake.is_governed {
        let n = next.signals.wakes_without_progress.saturating_add(1);
        next.signals.wakes_without_progress = n;
        next.ledger.back_off(n, now);
    }
}

/// Something came of the last wake.
pub(super) fn progress(next: &mut Selfhood) {
    if let Some(wake) = next.wake.as_mut().filter(|wake| !wake.ended) {
        wake.progressed = true;
    }
}

pub(super) fn reset_breaker(draft: &mut Draft<'_>) -> Result<(), WriteRefused> {
    Action::ResetBreaker.check(draft.writer)?;
    let ledger = &mut draft.next.ledger;
    ledger.breaker = crate::selfhood::Breaker::default();
    ledger.no_progress_until = None;
    ledger.wakes.clear();
    draft.next.signals.wake_failures = 0;
    draft.next.signals.wakes_without_progress = 0;
    draft.changed("circuit breaker closed");
    draft.is_wake_relevant = true;
    Ok(())
}
