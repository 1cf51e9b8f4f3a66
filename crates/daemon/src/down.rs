//! The end of an instance: machines stop, processes end, namespaces go; the data stays.

use crate::endpoint::Endpoint;
use crate::options::RUNTIME_ROOT;
use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::path::Path;

/// Longest wait for the supervisor or control to end.
const END_MAX_S: i64 = 30;

/// Ends the processes of the instance in `data_dir` and deletes its namespaces. The caller has
/// stopped its machines: whatever still runs is killed with the namespaces' last process.
///
/// # Errors
/// A process does not end, or something of the instance is still in use.
pub fn down(data_dir: &Path) -> anyhow::Result<()> {
    let endpoint = Endpoint::read(data_dir).ok();
    if let Some(endpoint) = &endpoint {
        for pid in endpoint.supervisor_pid.into_iter().chain([endpoint.control_pid]) {
            end_process(pid, Signal::TERM)?;
        }
    }
    let store = store::Store::open(data_dir).context("the instance is still in use")?;
    let tag = store.instance().clone();
    let runtime_dir = Path::new(RUNTIME_ROOT).join(tag.as_str());
    store.close().context("cannot close the store")?;
    drop(store);
    end_proxies(&runtime_dir)?;
    reap_cgroups(&tag)?;
    net::instance::destroy(&runtime_dir, &tag)
        .context("cannot delete the instance's namespaces")?;
    match std::fs::remove_dir_all(&runtime_dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", runtime_dir.display()))
        }
        _ => Ok(()),
    }
}

/// Ends all proxies at once, whoever started them: also one that waits for another daemon, and those
/// that were replaced and still serve somebody.
fn end_proxies(runtime_dir: &Path) -> anyhow::Result<()> {
    let living = proxy::living(runtime_dir).context("cannot find the proxies")?;
    living.into_iter().try_for_each(|pid| end_process(pid, Signal::KILL))
}

/// Tells one of our processes to end and waits until it has.
fn end_process(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return Ok(()) };
    if !is_ours(pid) {
        return Ok(());
    }
    if kill_process(pid, signal).is_err() {
        return Ok(());
    }
    let mut waiting = [PollFd::new(&process, PollFlags::IN)];
    let timeout = Timespec { tv_sec: END_MAX_S, tv_nsec: 0 };
    let n = poll(&mut waiting, Some(&timeout)).context("cannot wait for a process")?;
    anyhow::ensure!(n == 1, "process {pid:?} does not end");
    Ok(())
}

/// Whether the process is a `dormouse`: its number may have gone to a stranger meanwhile.
fn is_ours(pid: Pid) -> bool {
    let exe = std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_nonzero()));
    exe.is_ok_and(|exe| {
        exe.file_name().is_some_and(|name| name.to_string_lossy().starts_with("dormouse"))
    })
}

/// Removes the cgroups of the instance; whatever still runs in them is killed.
fn reap_cgroups(tag: &model::InstanceTag) -> anyhow::Result<()> {
    let shim = std::env::current_exe()?.with_file_name("dormouse-shim");
    let status = std::process::Command::new(&shim)
        .args(["reap", &format!("dormouse-{tag}")])
        .status()
        .with_context(|| format!("cannot run {}", shim.display()))?;
    anyhow::ensure!(status.success(), "cgroups of the instance stay");
    Ok(())
}
