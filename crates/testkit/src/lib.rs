//! How do tests get a real one?
//!
//! A test starts the real daemon in a temporary directory on port 0, speaks to it as any client
//! would, and waits for states with a deadline. At the end the instance is taken down and the
//! host is searched for anything it left: that is part of every test.
//!
//! * [`door`]: visitors of its services.
//! * [`instance`]: a daemon of the test's own.
//! * [`http`]: the smallest client.
//! * [`image`]: small images, built from what the host has.
//! * [`kernel`]: Debian's cloud kernel, to boot guests with.
//! * [`leftovers`]: what an instance left on the host.
//! * [`place`]: namespaces of a test's own, and an image mounted in them.
//! * [`registry`]: registries, and images pushed to them.
//! * [`report`]: figures that a test hands to the summary of `./dev test`.
//! * [`tls`]: TLS for tests of what stands behind it.
//! * [`wait`]: waiting with a deadline.

pub mod door;
pub mod http;
pub mod image;
pub mod instance;
pub mod kernel;
pub mod leftovers;
pub mod place;
pub mod registry;
pub mod report;
pub mod tls;
pub mod wait;

pub use http::{Asked, Reply};
pub use instance::{Builder, Instance};
pub use wait::{eventually, within};
