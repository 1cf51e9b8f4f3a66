//! End-to-end tests.
//!
//! * [`attempt`]: attempts to escape from a machine, as rows of tables.
//! * [`client`]: foreign clients of the API.
//! * [`debian`]: a real Debian root file system, made once for all tests.
//! * [`fixture`]: what many of them begin and end with.
//! * [`guest`]: a virtual machine without hardware help, from power-on to its last word.
//! * [`host`]: the host as a test sees it.
//! * [`rules`]: the rules of an instance's router.

pub mod attempt;
pub mod client;
pub mod debian;
pub mod fixture;
pub mod guest;
pub mod host;
pub mod rules;
