//! Attempts to get out of a machine. Each must fail, inside and seen from the host.
//!
//! Tables of attempts for what is refused outright; tests of their own for what is allowed and must
//! not lead anywhere: the network, hungry programs, images and requests full of tricks.

mod calls;
mod devices;
mod files;
mod images;
mod kernel;
mod limits;
mod mounts;
mod network;
mod processes;

use serde_json::json;
use testkit::Instance;
use tests::attempt::{Attempt, Prison};
use tests::fixture;

/// Script of machines that wait.
const WAIT: &str = "exec sleep 600";

/// Makes attempts in a machine of their own.
#[track_caller]
fn attempt(area: &str, attempts: &[Attempt]) {
    let instance = fixture::with_probe();
    let id = prisoner(&instance);
    Prison::new(&instance, id).check(area, attempts);
}

/// A machine whose program is `sleep`, from its first instruction on.
#[track_caller]
fn prisoner(instance: &Instance) -> String {
    fixture::started(instance, WAIT, &json!({"init": {"exec": ["/bin/sleep", "600"]}}))
}
