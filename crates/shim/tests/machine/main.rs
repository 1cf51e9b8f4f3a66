//! The real shim with the real guest init on the host's real kernel.
//!
//! Every test builds its own world ([`world::World`]): image, disk, slot, cgroup. It lies in a mount
//! namespace of the test's thread, so that nothing outlives the test process, whatever happens.

mod client;
mod confinement;
mod conformance;
mod endings;
mod guest_side;
mod life;
mod limits;
mod microvm;
mod microvm_link;
mod microvm_suspend;
mod microvm_warm;
mod reconnect;
mod template;
mod tools;
mod world;
