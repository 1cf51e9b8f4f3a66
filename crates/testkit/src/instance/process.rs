//! Processes of a test: whether they live, and their end.

use std::process::Command;

/// Whether any thread of a process runs: a dead first one is not the end of its process.
pub(super) fn is_alive(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut states = threads.filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    });
    states.any(|state| !matches!(state, 'X' | 'Z'))
}

/// Kills a process that belongs to a test.
///
/// # Panics
/// `kill` cannot be run.
pub fn kill(pid: u32) {
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()), "process {pid} cannot be killed");
}
