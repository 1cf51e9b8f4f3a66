//! Limits that programs inherit.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Open files of a process: the kernel's own ceiling for them (`fs.nr_open`), as in a container. Its first
/// process begins with 4096, which a server can reach.
const OPEN_FILES: u64 = 1024 * 1024;

/// Raises those that are made for smaller times.
pub(super) fn raise() -> Result<(), Errno> {
    let limit = Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) };
    setrlimit(Resource::Nofile, limit)
}
