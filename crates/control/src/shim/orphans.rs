//! Shims of an earlier control process that have not begun a run.
//!
//! Orders may lie unread in such a shim's socket when its control has died, so it may be about to
//! begin a run that recovery would begin, too. A shim opens its door before it begins: one without
//! a door is ended before recovery asks who is alive.

use super::pool::INSTANCE_VARIABLE;
use model::InstanceTag;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::HashSet;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Longest wait for the end of a killed shim: it only has its own memory to give back.
const END_MAX: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Ends the shims of `instance` that have no door. Blocking; call it before the first shim is
/// spawned.
pub(crate) fn end(runtime_dir: &Path, instance: &InstanceTag) {
    let shims = shims_of(instance);
    if shims.is_empty() {
        return;
    }
    let with_door = owners_of_doors(&runtime_dir.join("shims"));
    for pid in shims.difference(&with_door) {
        if let Err(error) = kill(*pid) {
            tracing::warn!(?pid, %error, "a shim without a run could not be ended");
        }
    }
}

/// Shims that an earlier control process of this instance has spawned. What a shim has forked, the
/// program of the fake engine for one, has the same environment, and is its shim's to end.
fn shims_of(instance: &InstanceTag) -> HashSet<Pid> {
    let mark = format!("{INSTANCE_VARIABLE}={instance}\0");
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let marked: HashSet<Pid> = entries
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            environment.windows(mark.len()).any(|part| part == mark.as_bytes()).then_some(pid)
        })
        .collect();
    let is_forked = |pid: &Pid| parent_of(*pid).is_some_and(|parent| marked.contains(&parent));
    marked.iter().copied().filter(|pid| !is_forked(pid)).collect()
}

/// Source: proc_pid_stat(5); the name before the state may have any letters in it.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    Pid::from_raw(after_name.split_ascii_whitespace().nth(1)?.parse().ok()?)
}

/// Who listens at the doors. A shim that has begun does not mind a caller that says nothing.
fn owners_of_doors(dir: &Path) -> HashSet<Pid> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let socket = UnixStream::connect(entry.path()).ok()?;
            rustix::net::sockopt::socket_peercred(&socket).ok().map(|peer| peer.pid)
        })
        .collect()
}

fn kill(pid: Pid) -> rustix::io::Result<()> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    pidfd_send_signal(&process, Signal::KILL)?;
    let n_ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&END_MAX))?;
    if n_ended == 0 { Err(rustix::io::Errno::TIMEDOUT) } else { Ok(()) }
}
