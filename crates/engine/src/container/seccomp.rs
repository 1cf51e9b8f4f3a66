//! The system call filter of a machine: Docker's default profile as a small decision tree.
//!
//! [`profile`] says which call gets which verdict, [`compile`] turns that into a classic BPF
//! program that needs about ten comparisons per call, where a chain of comparisons needs hundreds.

mod compile;
mod profile;
#[cfg(test)]
mod tests;

use crate::sys::BpfInstruction;

/// The filter that every machine gets.
pub(crate) fn filter() -> Vec<BpfInstruction> {
    compile::compile(&profile::segments())
}
