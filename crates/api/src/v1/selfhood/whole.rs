//! A self all at once, and what the host sees of its machine.

use super::on::{record, shown};
use super::show;
use crate::contract::selfhood::{SignalsNow, Whole};
use crate::problem::Problem;
use crate::v1::Answer;
use crate::v1::extract::{OnMachine, Read};
use axum::extract::State;
use control::{Control, SelfRecord};
use govern::view::Idle;
use model::UnixMs;

/// `GET self`.
pub(super) async fn show(State(control): State<Control>, Read(on): Read) -> Answer {
    let whole = whole(&record(&control, &on)?, &on, model::clock::now());
    shown(whole.revision, &whole)
}

fn whole(record: &SelfRecord, on: &OnMachine, now: UnixMs) -> Whole {
    let (selfhood, machine) = (&record.selfhood, &on.record);
    Whole {
        revision: selfhood.revision,
        machine: machine.id.to_string(),
        name: machine.name.clone(),
        state: machine.machine.state.api_name().to_owned(),
        intent: show::intent(&selfhood.intent),
        memory: show::memory(record, now).facts,
        inbox: show::inbox(&selfhood.inbox),
        holds: show::holds(selfhood, now),
        alarms: show::alarms(selfhood),
        signals: show::signals(&selfhood.signals),
        usage: show::usage(selfhood, now),
        policy: selfhood.policy.as_ref().map(show::policy_named),
        decision: selfhood.decision.as_ref().map(|d| show::decision(&d.stance, Some(d.at))),
        wake: selfhood.wake.as_ref().map(show::wake),
        rest: selfhood.rest.as_ref().map(show::rest),
        hold_down: show::hold_down(&machine.machine, now),
        trace: show::trace_head(&selfhood.trace),
    }
}

/// `GET self/signals`.
pub(super) async fn signals(State(control): State<Control>, Read(on): Read) -> Answer {
    let id = &on.record.id;
    let revision = record(&control, &on)?.selfhood.revision;
    let seen = control.self_signals(id).map_err(|e| Problem::from_control(&e, Some(id)))?;
    shown(revision, &now(&seen, revision, model::clock::now()))
}

/// Moments as the seconds since then, which is what rules read.
fn now(seen: &control::SignalsNow, revision: u64, now: UnixMs) -> SignalsNow {
    let since = |at: UnixMs| seconds_since(at, now);
    SignalsNow {
        revision,
        state: seen.state.clone(),
        idle_s: seen.idle.map(|idle| match idle {
            Idle::Busy => 0,
            Idle::Since(at) => since(at),
        }),
        uptime_s: seen.started_at.map(since),
        rest_s: seen.rested_at.map(since),
        inflight: seen.inflight,
        conns_in: seen.conns_in,
        conns_out: seen.conns_out,
        net_idle_s: seen.net_idle_since.map(since),
        cpu_1m: seen.cpu_1m,
        app_running: seen.app_running,
        beat_age_s: seen.beat_at.map(since),
    }
}

/// Whole seconds from `at` to `now`.
pub(super) const fn seconds_since(at: UnixMs, now: UnixMs) -> u64 {
    now.since(at).0 / 1000
}
