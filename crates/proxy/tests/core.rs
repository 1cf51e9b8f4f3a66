//! The real proxy with a control that is played by the test and programs on the loopback device.

#[path = "core/bytes.rs"]
mod bytes;
#[path = "core/harness.rs"]
mod harness;
#[path = "core/lasting.rs"]
mod lasting;
#[path = "core/netns.rs"]
mod netns;
#[path = "core/tls.rs"]
mod tls;
