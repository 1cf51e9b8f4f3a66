//! Any JSON as a history of merge patches: `[[writer, patch, seconds before it], …]`.

#![no_main]

use fuzz::Pen;
use govern::{Write, Writer};
use libfuzzer_sys::fuzz_target;
use model::DurationMs;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Patches of one history: a few say all that there is to say about order.
const PATCHES_MAX: usize = 12;

type Step = (Writer, BTreeMap<String, Json>, u32);

fuzz_target!(|bytes: &[u8]| {
    let Ok(steps) = serde_json::from_slice::<Vec<Step>>(bytes) else { return };
    let mut pen = Pen::default();
    for (writer, patch, seconds) in steps.into_iter().take(PATCHES_MAX) {
        pen.wait(DurationMs::from_secs(u64::from(seconds)));
        pen.write(&Write::Memory { patch, if_match: None }, &writer);
    }
    pen.finish();
});
