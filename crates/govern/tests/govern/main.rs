//! What a machine remembers and what follows from it, held against stories, tables and a simulation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod autostop;
mod chain;
mod deepen;
mod explained;
mod gates;
mod messages;
mod properties;
mod shell;
mod simulation;
mod stories;
mod writes;
