//! What a start costs when nobody manages it: attach and mount a disk, clone into new namespaces,
//! overlay, proc, pivot_root, exec. No commit, no network, no limits, no filter, no init.
//!
//! `bench-floor ROOTFS SCRATCH` waits for orders on standard input, one a line: `start DISK` runs
//! `/stamp`, which writes its line to our standard output; `stop` ends it and answers `stopped`.
//! It ends when its input does, and takes everything with it: the mounts are in a namespace of its
//! own, the loop device clears itself, and the program dies with its parent.

#![allow(unsafe_code, reason = "clones this single-threaded process")]

use anyhow::{Context as _, bail};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{
    Pid, Signal, WaitOptions, chdir, kill_process, pivot_root, set_parent_process_death_signal,
    waitpid,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// Namespaces of the program: all that a machine has but network and user, which are made ahead.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(rootfs), Some(scratch)) = (args.next(), args.next()) else {
        bail!("usage: bench-floor ROOTFS SCRATCH");
    };
    let places = Places::make(rootfs, &scratch)?;
    own_mount_namespace()?;
    let mut running = None;
    for order in std::io::stdin().lock().lines() {
        let order = order.context("cannot read an order")?;
        match order.split_once(' ') {
            Some(("start", disk)) => running = Some(start(&places, Path::new(disk))?),
            None if order == "stop" => {
                stop(&places, running.take().context("nothing runs")?)?;
                std::io::stdout().write_all(b"stopped\n").context("cannot answer")?;
            }
            _ => bail!("`{order}` is no order"),
        }
    }
    Ok(())
}

/// Directories that things are mounted at.
struct Places {
    rootfs: PathBuf,
    disk: PathBuf,
    root: PathBuf,
}

impl Places {
    fn make(rootfs: PathBuf, scratch: &Path) -> anyhow::Result<Self> {
        let places = Self { rootfs, disk: scratch.join("disk"), root: scratch.join("root") };
        for dir in [&places.disk, &places.root] {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make {}", dir.display()))?;
        }
        Ok(places)
    }
}

fn own_mount_namespace() -> anyhow::Result<()> {
    // SAFETY: this process has one thread, and nobody else's descriptors are affected.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("cannot make a mount namespace")?;
    // Slave, not private: what the host unmounts must not stay pinned here.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context("cannot detach the mount namespace from the host's")
}

fn start(places: &Places, disk: &Path) -> anyhow::Result<Pid> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(disk)
        .with_context(|| format!("cannot open {}", disk.display()))?;
    let device = disk::attach_loop(file.as_fd(), disk::LoopMode::Buffered)?;
    disk::mount_ext4(&device, &places.disk)?;
    match clone()? {
        Some(child) => Ok(child),
        None => {
            let error = become_program(places).err().unwrap_or_else(|| anyhow::anyhow!("no exec"));
            let _ignored_last_words = writeln!(std::io::stderr(), "bench-floor: {error:#}");
            // SAFETY: ends this process; there is nothing to unwind into.
            unsafe { libc::_exit(127) }
        }
    }
}

/// Clones this process into new namespaces; `None` in the child.
fn clone() -> anyhow::Result<Option<Pid>> {
    let flags = NAMESPACES | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and a stack this is a fork of a process with a single thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match i32::try_from(pid) {
        Ok(-1) => Err(std::io::Error::last_os_error()).context("cannot clone"),
        Ok(pid) => Ok(Pid::from_raw(pid)),
        Err(error) => Err(error).context("the kernel gave no process id"),
    }
}

/// In the child: mounts the program's root and becomes the program.
fn become_program(places: &Places) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot bind to the parent")?;
    let (upper, work) = (places.disk.join("upper"), places.disk.join("work"));
    for dir in [&upper, &work] {
        if !dir.exists() {
            std::fs::create_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
    }
    let options = CString::new(format!(
        "lowerdir={},upperdir={},workdir={},index=off,metacopy=off,redirect_dir=off,xino=off",
        places.rootfs.display(),
        upper.display(),
        work.display()
    ))?;
    mount("overlay", &places.root, "overlay", MountFlags::NODEV, Some(options.as_c_str()))
        .context("cannot mount the overlay")?;
    let proc = places.root.join("proc");
    mount("proc", &proc, "proc", MountFlags::NOSUID | MountFlags::NOEXEC, None)
        .context("cannot mount proc")?;
    chdir(&places.root).context("cannot enter the root")?;
    pivot_root(".", ".").context("cannot change the root")?;
    unmount(".", UnmountFlags::DETACH).context("cannot leave the old root")?;
    execute()
}

fn execute() -> anyhow::Result<()> {
    let arguments = [c"/stamp".as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: both lists end in null and point to strings that live for ever.
    unsafe { libc::execve(c"/stamp".as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Err(std::io::Error::last_os_error()).context("cannot execute /stamp")
}

fn stop(places: &Places, child: Pid) -> anyhow::Result<()> {
    kill_process(child, Signal::KILL).context("cannot kill the program")?;
    waitpid(Some(child), WaitOptions::empty()).context("cannot wait for the program")?;
    unmount(&places.disk, UnmountFlags::empty()).context("cannot unmount the disk")?;
    Ok(())
}
