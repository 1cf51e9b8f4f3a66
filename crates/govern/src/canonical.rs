//! The digest of a value, so that equal entries have equal hashes.

use model::Digest;
use policy::canonical;
use serde::Serialize;

/// SHA-256 of the value with sorted keys and no blanks.
pub(crate) fn digest(value: &impl Serialize) -> Digest {
    use sha2::Digest as _;
    let json = serde_json::to_value(value).expect("records have text keys and finite numbers");
    let hex = model::ids::hex_of(&sha2::Sha256::digest(canonical::text(&json)));
    format!("sha256:{hex}").parse().expect("a SHA-256 in lower-case hex is a digest")
}
