//! Any bytes on either kind of channel, in one piece and in many. The first byte chooses the cut.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((cut, bytes)) = bytes.split_first() {
        guest_proto::frame::check::decoder(bytes, usize::from(*cut));
    }
});
