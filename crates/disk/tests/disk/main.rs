//! The disk room against the real kernel: files, locks, loop devices, ext4.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod attach;
mod common;
mod crash;
mod space;
mod store;
