//! Visitors that speak HTTP, through the whole proxy: doors, TLS, records from control.

#[path = "core/harness.rs"]
#[allow(dead_code, reason = "shared with the tests of the core, which use the rest")]
mod harness;

#[path = "http/conformance.rs"]
mod conformance;
#[path = "http/doors.rs"]
mod doors;
#[path = "http/server.rs"]
mod server;
