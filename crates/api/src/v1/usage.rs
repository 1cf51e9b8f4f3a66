//! Metered use of an app, machine by machine.

use super::extract::ReadApp;
use super::query::{Params, wrong};
use super::{Answer, reply};
use crate::contract::host::{AppUsage, MachineUsage};
use crate::contract::moment::rfc3339;
use crate::problem::Problem;
use axum::extract::State;
use control::{Control, MeteredUse};
use model::UnixMs;
use std::time::Duration;

/// `GET /v1/apps/{app}/usage?since=&until=` (our addition): destroyed machines count too.
pub(super) async fn of_app(
    State(control): State<Control>,
    ReadApp(app, _who): ReadApp,
    params: Params,
) -> Answer {
    let now = model::clock::now();
    let since = moment(&params, "since")?.unwrap_or_default();
    let until = moment(&params, "until")?.unwrap_or(now).min(now);
    let used =
        control.app_metered(&app, since, until).map_err(|e| Problem::from_control(&e, None))?;
    let total = used.iter().fold(MeteredUse::default(), |sum, (_, used)| MeteredUse {
        started_ms: sum.started_ms + used.started_ms,
        cpu_us: sum.cpu_us + used.cpu_us,
    });
    let machines = used.iter().map(|(machine, used)| {
        let (started_s, cpu_s) = seconds(used);
        MachineUsage { machine_id: machine.to_string(), started_s, cpu_s }
    });
    let (started_s, cpu_s) = seconds(&total);
    reply::ok(&AppUsage {
        started_s,
        cpu_s,
        since: rfc3339(since),
        until: rfc3339(until),
        machines: machines.collect(),
    })
}

fn seconds(used: &MeteredUse) -> (f64, f64) {
    let started = Duration::from_millis(used.started_ms).as_secs_f64();
    (started, Duration::from_micros(used.cpu_us).as_secs_f64())
}

/// Parameter `name` as a moment.
pub(super) fn moment(params: &Params, name: &str) -> Result<Option<UnixMs>, Problem> {
    let Some(text) = params.text(name) else { return Ok(None) };
    // Whoever writes an offset without escaping it sends a blank.
    let at = text.replace(' ', "+").parse::<jiff::Timestamp>().ok();
    let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    at.map(|at| Some(UnixMs(at))).ok_or_else(|| wrong(name, text, "a moment as RFC 3339"))
}
