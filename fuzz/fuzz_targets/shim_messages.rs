//! Any bytes as a message between daemon and shim, or as the record of an exit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shim_proto::exit_file::ExitRecord;
use shim_proto::{FromShim, ToShim};

fuzz_target!(|bytes: &[u8]| {
    check::<ToShim>(bytes);
    check::<FromShim>(bytes);
    check::<ExitRecord>(bytes);
});

/// What can be read can be written and read again.
fn check<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<T>(bytes) {
        let text = serde_json::to_vec(&message).expect("a message that was read can be written");
        serde_json::from_slice::<T>(&text).expect("what was written can be read");
    }
}
