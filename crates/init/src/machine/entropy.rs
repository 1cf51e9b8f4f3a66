//! Random numbers that nobody else gets: all that were restored from one state would draw the same.

use super::Failure;
use crate::sys;
use base64::Engine as _;
use guest_proto::message::ENTROPY_MAX_BYTES;

/// Fewest bytes that make a difference: the kernel's key is as long.
const ENTROPY_MIN_BYTES: usize = 32;

/// Mixes the host's bytes in, and lets the kernel begin anew from them.
pub(super) fn take(base64: &str) -> Result<(), Failure> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(base64)
        .map_err(|error| Failure(format!("the entropy is not base64: {error}")))?;
    if !(ENTROPY_MIN_BYTES..=ENTROPY_MAX_BYTES).contains(&bytes.len()) {
        return Err(Failure(format!(
            "{} bytes of entropy are not between {ENTROPY_MIN_BYTES} and {ENTROPY_MAX_BYTES}",
            bytes.len()
        )));
    }
    sys::random::add(&bytes).map_err(Failure::of("give the kernel entropy"))
}
