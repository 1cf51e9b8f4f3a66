//! What do daemon and shim say to each other?
//!
//! One shim owns one run of one machine and outlives the daemon. The daemon speaks to it over a
//! unix stream socket: first the inherited one (file descriptor 0), after a daemon restart a new
//! connection to [`spec::RunSpec::socket_path`]. The newest connection wins; the older is closed.
//!
//! Frames are those of [`guest_proto::frame`]; data frames of guest streams are relayed as they
//! are. The exit of a run survives both sides: see [`exit_file`].

pub mod connection;
pub mod exit_file;
pub mod message;
pub mod shape;
pub mod spec;

pub use connection::{Connection, Filled};
pub use exit_file::ExitRecord;
pub use message::{FromShim, RunStatus, ToShim};
pub use spec::RunSpec;

/// Version of this protocol that this build speaks.
pub const VERSION: u16 = 1;

/// Oldest version that this build still understands.
pub const VERSION_MIN: u16 = 1;

/// The build that daemon and shim belong to: a pooled shim of another build is discarded.
pub const BUILD: &str = match option_env!("DORMOUSE_BUILD") {
    Some(build) => build,
    None => env!("CARGO_PKG_VERSION"),
};
