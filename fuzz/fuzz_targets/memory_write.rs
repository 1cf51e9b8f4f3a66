//! Any JSON as a write into the memory: `[key, old, new, writer]`. What is stored can be stored again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::UnixMs;
use policy::{Absence, MemorySize, Name, Policy, Reading, Values, Write, Writer, check_write};
use serde_json::Value as Json;
use std::sync::LazyLock;

/// Compiled once.
static POLICY: LazyLock<Policy> =
    LazyLock::new(|| Policy::parse(POLICY_TEXT).expect("the policy is right"));

const POLICY_TEXT: &[u8] = br#"{"facts":{
    "n":{"type":"int","min":0,"max":10,"guard":"new >= old","default":0},
    "d":{"type":"double","min":-1,"max":1},"t":{"type":"timestamp"},"p":{"type":"duration"},
    "l":{"type":"list"},"x":{"type":"json"},
    "s":{"type":"string","enum":["a","b"],"transitions":[{"from":null,"to":"a"},{"from":"a","to":"b"}]}}}"#;

const NOW: UnixMs = UnixMs(1_790_000_000_000);

fuzz_target!(|bytes: &[u8]| {
    type Input = (String, Option<Json>, Option<Json>, Writer);
    let Ok((key, old, new, writer)) = serde_json::from_slice::<Input>(bytes) else { return };
    let write = Write {
        key: &key,
        old: old.as_ref(),
        new: new.as_ref(),
        writer: &writer,
        others: MemorySize::default(),
    };
    let Ok(accepted) = check_write(&POLICY, &write, &Nothing, NOW) else { return };
    let again = Write { old: accepted.value.as_ref(), new: accepted.value.as_ref(), ..write };
    let stored = check_write(&POLICY, &again, &Nothing, NOW).expect("it is stored already");
    assert_eq!(stored.value, accepted.value);
});

struct Nothing;

impl Values for Nothing {
    fn read(&self, _: &Name) -> Reading {
        Reading::absent(Absence::Missing)
    }
}
