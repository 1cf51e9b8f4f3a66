//! The real init, as PID 1 of real namespaces over a small root file system, spoken to as a host
//! does.

mod api;
mod boot;
mod exec;
mod harness;
mod pid1;
mod program;
mod questions;
