//! The network room against the real kernel: namespaces, links, routes and rules, as root.
//!
//! Every test has an instance of its own in a temporary directory and leaves nothing behind.

mod closed;
mod doctor;
mod doors;
mod egress;
mod enter;
mod flows;
mod instances;
mod pins;
mod policy;
mod reach;
mod slots;
mod taps;
mod vm;
mod wan;
mod world;
