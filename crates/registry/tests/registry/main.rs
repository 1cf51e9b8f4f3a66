//! The client against real registries, against one that misbehaves in every way, and from inside
//! another network namespace.

mod authorization;
mod blobs;
mod courier;
mod layout;
mod manifests;
mod namespace;
mod places;
mod real;
mod server;
mod support;
