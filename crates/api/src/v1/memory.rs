//! RAM of a machine that runs. No engine here has a balloon yet: what is asked of one is answered as
//! it is, and a limit is changed by an update.

use super::body::JsonBody;
use super::extract::{OnMachine, Operate, Read};
use super::{Answer, reply};
use crate::contract::memory::{Memory, ReclaimMemory, ReclaimedMemory, SetMemory};
use crate::problem::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use control::Control;

const MIB: u64 = 1024 * 1024;

/// `GET …/memory`.
pub(super) async fn show(State(control): State<Control>, Read(on): Read) -> Answer {
    reply::ok(&memory(&control, &on).await)
}

/// `PUT …/memory`: any limit but the present one takes a new version of the machine.
pub(super) async fn set(
    State(control): State<Control>,
    Operate(on): Operate,
    body: JsonBody,
) -> Answer {
    let wish: SetMemory = body.to()?;
    let Some(limit_mb) = wish.limit_mb else {
        return Err(Problem::invalid("limit_missing", "limit_mb is required")
            .hint("send `{\"limit_mb\": 512}`"));
    };
    control.expect_lease(&on.record.id, &on.cause).map_err(|e| on.problem(&e))?;
    if limit_mb != u64::from(on.record.spec.guest.memory_mib) {
        return Err(no_balloon());
    }
    reply::ok(&memory(&control, &on).await)
}

/// `POST …/memory/reclaim`: nothing can be taken from a program that uses it.
pub(super) async fn reclaim(
    State(control): State<Control>,
    Operate(on): Operate,
    body: JsonBody,
) -> Answer {
    let _wish: ReclaimMemory = body.to()?;
    control.expect_lease(&on.record.id, &on.cause).map_err(|e| on.problem(&e))?;
    reply::ok(&ReclaimedMemory::default())
}

/// A machine that does not run uses nothing.
async fn memory(control: &Control, on: &OnMachine) -> Memory {
    let limit_mb = u64::from(on.record.spec.guest.memory_mib);
    let usage = match on.record.machine.state.is_up() {
        true => control.usage_now(&on.record.id).await.ok(),
        false => None,
    };
    let used_mb = usage.map_or(0, |usage| usage.ram_bytes.div_ceil(MIB));
    Memory { limit_mb, available_mb: limit_mb.saturating_sub(used_mb) }
}

fn no_balloon() -> Problem {
    let text = "the machine's engine has no balloon: its limit of RAM cannot change while it runs";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_balloon", text)
        .hint("update the machine with another `config.guest.memory_mb`")
}
