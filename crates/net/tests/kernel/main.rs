//! The network room against the real kernel: namespaces, links, routes and rules, as root.
//!
//! Every test has an instance of its own in a temporary directory and leaves nothing behind.

mod egress;
mod instances;
mod reach;
mod slots;
mod world;
