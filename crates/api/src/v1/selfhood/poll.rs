//! How long a caller wants to wait, and how much it wants to see.

use crate::contract::GoDuration;
use crate::contract::selfhood::{PAGE_DEFAULT, POLL_MAX_S};
use crate::problem::Problem;
use crate::v1::query::{Params, wrong};
use std::time::Duration;

/// The parameter `timeout`, or `default_s` seconds; at most [`POLL_MAX_S`].
pub(super) fn timeout(params: &Params, default_s: u64) -> Result<Duration, Problem> {
    match params.seconds("timeout")? {
        None => Ok(Duration::from_secs(default_s)),
        Some(GoDuration(ns)) if ns < 0 => Err(wrong("timeout", "negative", "0 to 60 seconds")),
        Some(wish) => Ok(bounded(wish.to_ms().to_std())),
    }
}

/// A wait of at most [`POLL_MAX_S`].
pub(super) fn bounded(wish: Duration) -> Duration {
    wish.min(Duration::from_secs(POLL_MAX_S))
}

/// The parameter `limit`, from 1 to `max`.
pub(super) fn limit(params: &Params, max: u32) -> Result<u32, Problem> {
    count(params, "limit", max).map(|n| n.unwrap_or(PAGE_DEFAULT.min(max)))
}

/// The count `name`, from 1 to `max`; more is `max`.
pub(super) fn count(params: &Params, name: &str, max: u32) -> Result<Option<u32>, Problem> {
    match params.number(name)? {
        Some(0) => Err(wrong(name, "0", &format!("1 to {max}"))),
        wish => Ok(wish.map(|n| u32::try_from(n).unwrap_or(max).min(max))),
    }
}
