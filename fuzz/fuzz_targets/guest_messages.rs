//! Any bytes as a message between host and guest.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| guest_proto::frame::check::messages(bytes));
