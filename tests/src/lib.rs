//! End-to-end tests.
//!
//! * [`attempt`]: attempts to escape from a machine, as rows of tables.
//! * [`debian`]: a real Debian root file system, made once for all tests.
//! * [`fixture`]: what many of them begin and end with.
//! * [`host`]: the host as a test sees it.
//! * [`rules`]: the rules of an instance's router.

pub mod attempt;
pub mod debian;
pub mod fixture;
pub mod host;
pub mod rules;
