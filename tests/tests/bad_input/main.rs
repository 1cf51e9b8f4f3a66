//! Bad input, and what it gets: a clear refusal (`error`, `code`, `retryable`, `hint`), and nothing
//! is lost.

mod configs;
mod disk_full;
mod greed;
mod images;
mod pressure;
mod programs;
mod requests;
mod small_disk;
mod tokens;

use serde_json::{Value, json};
use testkit::http::Refusal;
use testkit::{Instance, Reply};

/// Path at which machines are created.
const MACHINES: &str = "/v1/apps/test/machines";

/// Asks for a machine with `config` that is not launched.
fn create(instance: &Instance, config: &Value) -> Reply {
    instance.post(MACHINES, &json!({"config": config, "skip_launch": true}))
}

/// Checks status and code of a refusal, and that it says more than nothing.
#[track_caller]
fn refused(reply: Reply, status: u16, code: &str) -> Refusal {
    let text = reply.text.clone();
    let refusal = reply.refusal(status);
    assert_eq!(refusal.code, code, "{text}");
    assert!(!refusal.error.is_empty() && !refusal.hint.is_empty(), "{text}");
    refusal
}
