//! The image room against the real kernel: archives in, mounted file systems out.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod archive;
mod common;
mod crash;
mod formats;
mod full;
mod hostile;
mod layers;
mod prune;
mod pull;
mod stacks;
mod store;
