//! Any bytes as the proxy's file of routes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::fuzzing::reread;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Some(written) = reread(bytes) else { return };
    let again = reread(&written).expect("what was written can be read");
    assert_eq!(records(&written), records(&again), "all of it is understood");
});

/// The records of a file, in an order of their own.
fn records(file: &[u8]) -> [Vec<String>; 2] {
    let file: Value = serde_json::from_slice(file).expect("JSON");
    ["apps", "machines"].map(|kind| {
        let records = file[kind].as_array().expect("a list").iter();
        let mut records: Vec<_> = records.map(ToString::to_string).collect();
        records.sort();
        records
    })
}
