//! Any bytes as a tar archive with its extended headers. The first two bytes choose the cut.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((cut, bytes)) = bytes.split_first_chunk::<2>() {
        image::check::archive(bytes, usize::from(u16::from_le_bytes(*cut)));
    }
});
