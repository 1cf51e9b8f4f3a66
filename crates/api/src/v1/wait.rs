//! `GET …/wait`: until the machine is in a state.

use super::extract::Read;
use super::query::{Params, wrong};
use super::{Answer, reply};
use crate::contract::WaitReply;
use crate::problem::Problem;
use axum::extract::State;
use control::{Control, WaitFor};
use model::{DurationMs, EventId, VersionId};

/// Longest wait, and the wait when the caller names none: what front ends allow a request to take.
const TIMEOUT_MAX: DurationMs = DurationMs(60_000);

const STATES: [&str; 6] = ["started", "stopped", "suspended", "destroyed", "failed", "settled"];

/// `GET …/wait?state=&timeout=&version=&from_event_id=`.
pub(super) async fn wait(State(control): State<Control>, Read(on): Read, params: Params) -> Answer {
    let id = &on.record.id;
    let waited =
        control.wait(id, what(&params)?).await.map_err(|e| Problem::from_control(&e, Some(id)))?;
    reply::ok(&WaitReply {
        ok: true,
        state: waited.state,
        version: waited.version.to_string(),
        event_id: waited.event.map(|event| event.to_string()),
    })
}

fn what(params: &Params) -> Result<WaitFor, Problem> {
    let mut states: Vec<String> = params.list("state").map(str::to_owned).collect();
    if let Some(unknown) = states.iter().find(|state| !STATES.contains(&state.as_str())) {
        return Err(wrong("state", unknown, &STATES.join(", ")));
    }
    if states.is_empty() {
        states.push("started".to_owned());
    }
    let timeout = match params.seconds("timeout")? {
        None => TIMEOUT_MAX,
        Some(wish) if wish.0 <= 0 => {
            return Err(wrong("timeout", &wish.to_string(), "1 to 60 seconds"));
        }
        Some(wish) => wish.to_ms().min(TIMEOUT_MAX),
    };
    let version = match params.parsed::<VersionId>("version")? {
        None => params.parsed::<VersionId>("instance_id")?,
        version => version,
    };
    let from_event = params.parsed::<EventId>("from_event_id")?;
    Ok(WaitFor { states, timeout, version, from_event })
}
