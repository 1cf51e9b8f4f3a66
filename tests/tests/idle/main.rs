//! When machines are idle, what keeps them awake, and how one sees it.
//!
//! A machine rests 30 s after a start at the earliest. Nobody waits for that here: each instance has a
//! clock of the test's own, which is set forward.

mod autostop;
mod awake;
mod checks;
mod excess;
mod house;
mod metrics;
mod outbound;
mod races;
mod ram;
mod rules;
