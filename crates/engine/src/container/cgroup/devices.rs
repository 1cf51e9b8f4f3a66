//! Which device nodes may be opened: those of a private `/dev`, and no other.

use super::files::write;
use crate::error::EngineError;
use std::path::Path;

/// Character devices that a machine may use, `major:minor`.
///
/// null, zero, full, random, urandom, tty, ptmx, pseudo terminals: Docker's default list without
/// the console.
const ALLOWED: [&str; 8] = ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "136:*"];

/// Confines a v1 directory. Making nodes is allowed, as in Docker: they cannot be opened.
pub(super) fn set_v1(dir: &Path) -> Result<(), EngineError> {
    write(&dir.join("devices.deny"), "a")?;
    let allow = dir.join("devices.allow");
    for number in ALLOWED {
        write(&allow, &format!("c {number} rwm"))?;
    }
    write(&allow, "c *:* m")?;
    write(&allow, "b *:* m")
}
