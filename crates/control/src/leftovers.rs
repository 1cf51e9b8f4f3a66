//! What a lost shim may leave: processes and cgroups. Only the engine knows them, and the engine
//! lives in the shim's binary, so that binary is asked to clean up.

use crate::error::ControlError;
use std::path::Path;
use std::process::{Command, Stdio};

/// Kills what runs in the cgroup of a machine and removes the cgroup; nothing there is fine.
/// Blocking, bounded by the shim itself.
///
/// # Errors
/// [`ControlError::Shim`] when something is left.
pub(crate) fn reap(shim_path: &Path, cgroup: &str) -> Result<(), ControlError> {
    let output =
        Command::new(shim_path).arg("reap").arg(cgroup).stdin(Stdio::null()).output().map_err(
            |error| ControlError::Shim {
                message: format!("{} cannot be run: {error}", shim_path.display()),
            },
        )?;
    if output.status.success() {
        return Ok(());
    }
    Err(ControlError::Shim {
        message: format!(
            "leftovers of {cgroup} stay: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    })
}
