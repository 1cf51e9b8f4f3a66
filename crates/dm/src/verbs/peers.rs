//! Machines on the same network.

use super::memory::patch;
use crate::errand::Errand;
use crate::failure::Failure;
use crate::http::{Call, encoded};
use crate::show::Show;
use crate::words::Words;

/// `dm peer NAME`, `dm peer NAME KEY`, `dm peer NAME KEY=VALUE…`
pub(super) fn peer(words: &mut Words) -> Result<Errand, Failure> {
    let name = words.need("`NAME`")?;
    let path = |what| format!("/v1/peers/{}/{what}", encoded(&name));
    let memory = || Call::new("GET", path("memory"));
    let rest = words.rest();
    match rest.as_slice() {
        [] => {
            let calls = [("state", Call::new("GET", path("state"))), ("memory", memory())];
            Ok(Errand::several(calls, Show::Peer))
        }
        [key] if !key.contains('=') => Ok(Errand::new(memory(), Show::FactOf(key.clone()))),
        _ => {
            let body = patch(words, rest)?;
            Ok(Errand::new(Call::new("PATCH", path("memory")).with(body), Show::Nothing))
        }
    }
}
