//! Child processes: found, run, ended.

use crate::cleanup::{self, Guard};
use crate::stamp::wait_readable;
use anyhow::{Context as _, bail};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where programs of the administrator lie, whatever the caller's PATH.
const SYSTEM_DIRS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// The program `name`, in PATH or where the administrator's programs lie.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_DIRS.map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// One of our own programs: beside the running one.
pub(crate) fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("cannot find this program")?.with_file_name(name);
    if path.is_file() {
        return Ok(path);
    }
    bail!("{} is not there; build the whole workspace first", path.display())
}

/// Runs a command to its end; returns what it printed. A signal that ends us waits for it.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    cleanup::uninterrupted(|| run_at_end(command))
}

/// The same for actions of [`cleanup`], which are the end.
pub(crate) fn run_at_end(command: &mut Command) -> anyhow::Result<String> {
    let what = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {what}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!("{what} failed with {}: {}", output.status, said.trim())
}

/// A daemon that runs in the background. Clones speak of the same one.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    child: Arc<Mutex<Child>>,
}

impl Daemon {
    /// Starts `command` with its output in the file `log`, to be ended by `end`. It gets a process
    /// group of its own, so that an interrupt from the terminal reaches only us, who end it in
    /// order.
    pub(crate) fn spawn(
        command: &mut Command,
        log: &Path,
        end: impl FnOnce(&Self) + Send + 'static,
    ) -> anyhow::Result<(Self, Guard)> {
        let out = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        let also_out = out.try_clone().context("cannot share a file")?;
        command.stdin(Stdio::null()).stdout(out).stderr(also_out);
        Self::start(command, end)
    }

    /// The same for a `command` that has its streams already.
    pub(crate) fn start(
        command: &mut Command,
        end: impl FnOnce(&Self) + Send + 'static,
    ) -> anyhow::Result<(Self, Guard)> {
        let what = command.get_program().to_string_lossy().into_owned();
        command.process_group(0);
        cleanup::uninterrupted(|| {
            let child = command.spawn().with_context(|| format!("cannot start {what}"))?;
            let daemon = Self { child: Arc::new(Mutex::new(child)) };
            let own = daemon.clone();
            Ok((daemon, cleanup::at_end(move || end(&own))))
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.lock().id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.lock().try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Asks it to end and waits; kills it after `patience`.
    pub(crate) fn end(&self, patience: Duration) {
        let mut child = self.lock();
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        // Ours and not waited for yet, so the number is still its own.
        signal(child.id(), Signal::TERM);
        if !wait_for_end(child.id(), patience) {
            signal(child.id(), Signal::KILL);
        }
        // It has ended or was killed: this returns, and an error would only say that it is gone.
        let _gone = child.wait();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a signal to a process that we know to be ours; one that is gone needs none.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(pid, signal);
    }
}

/// A handle on a process, if it still exists.
pub(crate) fn open(pid: u32) -> Option<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// Kills the process behind a handle; one that is gone needs nothing.
pub(crate) fn kill_handle(process: &OwnedFd) {
    let _gone = pidfd_send_signal(process, Signal::KILL);
}

/// Waits until the process has ended; false after `patience`.
pub(crate) fn wait_for_end(pid: u32, patience: Duration) -> bool {
    open(pid).is_none_or(|process| wait_readable(&process, Instant::now() + patience).is_ok())
}

/// `root` and all processes below it.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in all_pids() {
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(children.remove(&parent).unwrap_or_default());
        next += 1;
    }
    family
}

/// Who runs the program `name`, among `root` and all below it.
pub(crate) fn running(root: u32, name: &str) -> Vec<u32> {
    let runs = |pid: &u32| {
        let program = fs::read_link(format!("/proc/{pid}/exe"));
        program.is_ok_and(|path| path.file_name().is_some_and(|file| file == name))
    };
    family(root).into_iter().filter(runs).collect()
}

fn all_pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Its parent, as long as it is there.
pub(crate) fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so read from its end: state, then parent.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Daemon, family, find, running};
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn a_child_is_family_until_it_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let sleep = find("sleep").expect("every host has it");
        // It may be one program of many names.
        let program = sleep.canonicalize().unwrap();
        let name = program.file_name().unwrap().to_str().unwrap();
        let log = dir.path().join("log");
        let end = |child: &Daemon| child.end(Duration::from_secs(5));
        let (child, guard) = Daemon::spawn(Command::new(&sleep).arg("60"), &log, end).unwrap();
        assert!(family(std::process::id()).contains(&child.pid()));
        assert!(running(std::process::id(), name).contains(&child.pid()));
        drop(guard);
        assert!(child.has_ended());
        assert!(!family(std::process::id()).contains(&child.pid()));
    }
}
