//! Where the C library begins.

use std::ffi::{c_char, c_int};

/// Called once, before any thread exists; the standard library knows the arguments by itself.
// SAFETY: no other symbol of the program has this name, and this is what the C library calls.
#[unsafe(no_mangle)]
extern "C" fn main(_n_arguments: c_int, _arguments: *const *const c_char) -> c_int {
    crate::run().into()
}
