//! Crash safety: the process dies at every numbered point, each step fails or runs twice, the disk
//! is full. Whatever happens, what was acknowledged is there, the scenario can be finished from
//! where it stands, and in the end nothing is left.

mod control_points;
mod disk_full;
mod pull;
mod pull_proxy;
mod scenario;
mod shim_points;
mod steps;
mod update;
