//! Volumes: there are none. A machine's own disk is kept through stops and updates instead.
//!
//! Clients list them before they do anything else, so lists are honest and empty.

use super::extract::{Caller, OperateApp, ReadApp};
use super::{Answer, reply};
use crate::contract::volumes::{OrgVolumes, Volume};
use crate::problem::Problem;
use axum::http::StatusCode;

const HINT: &str = "leave volumes out: the machine's own disk is kept through stop and update \
                    (`config.rootfs.persist`)";

/// `GET /v1/apps/{app}/volumes`.
pub(super) async fn list(_on: ReadApp) -> Answer {
    reply::ok(&Vec::<Volume>::new())
}

/// `GET /v1/orgs/{org}/volumes`.
pub(super) async fn list_of_org(_who: Caller) -> Answer {
    reply::ok(&OrgVolumes::default())
}

/// `POST /v1/apps/{app}/volumes`.
pub(super) async fn create(_on: OperateApp) -> Answer {
    Err(unsupported("volumes"))
}

/// `GET /v1/apps/{app}/volumes/{id}` and what is below it.
pub(super) async fn read_one(_on: ReadApp) -> Answer {
    Err(missing())
}

/// `PUT`, `DELETE` of a volume, and what changes what is below it.
pub(super) async fn change_one(_on: OperateApp) -> Answer {
    Err(missing())
}

/// 422: there is no such thing here.
pub(super) fn unsupported(field: &str) -> Problem {
    Problem::unsupported(field, HINT)
}

fn missing() -> Problem {
    let text = "not_found: volume not found";
    Problem::new(StatusCode::NOT_FOUND, "volume_not_found", text).hint(HINT)
}
