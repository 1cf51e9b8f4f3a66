//! The platform as clients ask for it: one region, this host.

use super::body::JsonBody;
use super::extract::Caller;
use super::{Answer, reply};
use crate::contract::MachineConfig;
use crate::contract::config::Guest;
use crate::contract::platform::{FindPlacements, Placement, Placements};
use crate::contract::{Region, Regions};
use crate::problem::Problem;
use crate::spec;
use axum::extract::State;
use axum::http::StatusCode;
use control::Control;

/// Machines that are placed at once: more than a host can hold, and a bound for the answer.
const COUNT_MAX: u64 = 10_000;

/// `GET /v1/platform/regions`.
pub(super) async fn regions(State(control): State<Control>, _who: Caller) -> Answer {
    let here = Region {
        code: control.region().to_owned(),
        name: "This host".to_owned(),
        geo_region: "local".to_owned(),
        ..Region::default()
    };
    reply::ok(&Regions { nearest: control.region().to_owned(), regions: vec![here] })
}

/// `POST /v1/platform/placements`: how many machines of a size there is room for now. Nothing is kept
/// free for them.
pub(super) async fn placements(
    State(control): State<Control>,
    _who: Caller,
    body: JsonBody,
) -> Answer {
    let wish: FindPlacements = body.to()?;
    if wish.org_slug.as_deref().is_none_or(str::is_empty) {
        let text = "authorization: request doesn't contain org_slug";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "org_missing", text)
            .hint("send `\"org_slug\": \"personal\"`"));
    }
    if wish.volume_size_bytes.is_some_and(|bytes| bytes > 0)
        || wish.volume_name.is_some_and(|name| !name.is_empty())
    {
        return Err(super::volumes::unsupported("volume_name"));
    }
    let n_wanted = wish.count.filter(|n| *n > 0).unwrap_or(COUNT_MAX).min(COUNT_MAX);
    let size =
        spec::size(&MachineConfig { guest: Some(compute(wish.compute)), ..Default::default() })?;
    let count = control.room_for_more(size, n_wanted);
    let placement = Placement { region: control.region().to_owned(), count, concurrency: count };
    let regions = if count > 0 { vec![placement] } else { Vec::new() };
    reply::ok(&Placements { regions })
}

/// Without a size it is `performance-1x`. Source: machines-api 1.13.
fn compute(wish: Option<Guest>) -> Guest {
    wish.unwrap_or_else(|| Guest {
        cpu_kind: Some("performance".to_owned()),
        cpus: Some(1),
        memory_mb: Some(2_048),
        ..Guest::default()
    })
}
