//! Any bytes as an index or a manifest of an image.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| image::check::document(bytes));
