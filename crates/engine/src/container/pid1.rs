//! A place for programs that are an init themselves (systemd): PID 1 of a pid namespace below the
//! machine's own, with a cgroup that is theirs.
//!
//! The child clones a second process before it gives up its rights. That one sees the same files,
//! but its own `/proc`, and below `/sys/fs/cgroup` the delegated cgroup, writable. It becomes
//! `dormouse-init pid1`, which talks to the guest init over a socket pair and in the end becomes
//! the program.

use super::child::{self, Plan};
use super::masks;
use crate::cgroup::Delegated;
use crate::first_process::{self, FIRST_FREE_FD};
use crate::report::{self, Failure, Step};
use crate::sys::{self, Cloned, ExecStrings};
use guest_root::mounts::{Fs, attach, make_dir, mount_point};
use guest_root::parts;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::setsid;
use rustix::thread::UnshareFlags;
use std::convert::Infallible;
use std::os::fd::{AsFd as _, OwnedFd};

/// What the second process needs beyond the [`Plan`].
#[derive(Debug)]
pub(super) struct Pid1Plan {
    pub(super) cgroup: Delegated,
    /// The guest init's end of the pair.
    pub(super) init_end: OwnedFd,
    /// The second process's end.
    pub(super) pid1_end: OwnedFd,
    pub(super) argv: ExecStrings,
    pub(super) envp: ExecStrings,
}

/// Clones the second process; returns the guest init's end of the pair.
#[allow(unsafe_code, reason = "clones this process")]
pub(super) fn start(pid1: &Pid1Plan, plan: &Plan) -> Result<OwnedFd, Failure> {
    let namespaces = libc::CLONE_NEWPID | libc::CLONE_NEWNS;
    let entry = match &pid1.cgroup {
        Delegated::V2(dir) => Some(dir.as_fd()),
        Delegated::V1(_) => None,
    };
    // SAFETY: the child goes on in this module, under the rules of `child`: system calls only.
    let cloned = unsafe { sys::clone3(namespaces, entry) };
    match cloned.map_err(Step::Pid1.failed())? {
        Cloned::Child => {
            let Err(failure) = become_pid1(pid1, plan);
            report::failed(&plan.report, failure);
            sys::exit_now(127)
        }
        Cloned::Parent { .. } => {
            sys::duplicate_above(&pid1.init_end, FIRST_FREE_FD).map_err(Step::Pid1.failed())
        }
    }
}

fn become_pid1(pid1: &Pid1Plan, plan: &Plan) -> Result<Infallible, Failure> {
    setsid().map_err(Step::Session.failed())?;
    if let Delegated::V1(door) = &pid1.cgroup {
        rustix::io::write(door, b"0").map_err(Step::JoinCgroup.failed())?;
    }
    sys::unshare(UnshareFlags::NEWCGROUP).map_err(Step::CgroupNamespace.failed())?;
    let proc_mount = parts::mount_proc(c"/proc").map_err(Step::Proc.failed())?;
    let dev = open_dir("/dev").map_err(Step::Dev.failed())?;
    masks::apply(&proc_mount, &dev).map_err(Step::Mask.failed())?;
    mount_cgroup(&pid1.cgroup, &plan.root.parts).map_err(Step::Pid1Cgroup.failed())?;
    child::confine(plan)?;
    first_process::open_null()
        .and_then(|null| first_process::arrange([&null; 3], [&pid1.pid1_end].into_iter()))
        .map_err(Step::Descriptors.failed())?;
    sys::set_seccomp_filter(&plan.filter).map_err(Step::Seccomp.failed())?;
    let errno = sys::execute(plan.init.as_fd(), &pid1.argv, &pid1.envp);
    Err(Step::Exec.failed()(errno))
}

/// The delegated cgroup is the root of this process's cgroup namespace, so it is all that shows: at
/// `/sys/fs/cgroup` itself for v2, in a directory there for v1.
fn mount_cgroup(delegated: &Delegated, words: &parts::Words) -> Result<(), Errno> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let place = mount_point(&open_dir("/sys/fs")?, c"cgroup")?;
    match delegated {
        Delegated::V2(_) => attach(&parts::mount_cgroup2()?, place),
        Delegated::V1(_) => {
            let dirs = words.tmpfs(c"755", c"64k").mount(attributes)?;
            attach(&dirs, place)?;
            let options = [(c"none", c""), (c"name", c"systemd")];
            let tree = Fs { name: c"cgroup", options }.mount(attributes)?;
            attach(&tree, make_dir(&dirs, c"systemd")?)
        }
    }
}

fn open_dir(path: &str) -> Result<OwnedFd, Errno> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
