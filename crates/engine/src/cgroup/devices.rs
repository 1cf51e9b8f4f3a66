//! Which device nodes may be opened: those of a private `/dev`, and no other.
//!
//! Making nodes is allowed, as in Docker: they cannot be opened. On v1 the controller's files say so,
//! on v2 a program ([`crate::bpf`]) that is loaded once for each shim and attached to each machine's
//! cgroup: 0.02 to 0.1 ms.

use super::files::write;
use super::hierarchies::{Controller, Hierarchies};
use crate::bpf::{self, Instruction, Register};
use crate::error::EngineError;
use rustix::io::Errno;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

/// Character devices that a machine may use: major number, and minor number if not all of them.
///
/// null, zero, full, random, urandom, tty, ptmx, pseudo terminals: Docker's default list without
/// the console.
const ALLOWED: [(i32, Option<i32>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// `/dev/kvm`. Source: the kernel's `Documentation/admin-guide/devices.txt`.
const KVM: (i32, Option<i32>) = (10, Some(232));

/// Which device nodes may be opened in a cgroup.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Devices<'a> {
    /// Those of a private `/dev`; on v2 this program says so.
    OfMachine(Option<&'a DeviceProgram>),
    /// That of KVM besides, for a monitor that runs a guest by it.
    AndKvm,
}

/// What keeps machines from the devices of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceGuard {
    /// The devices controller of cgroup v1: nodes may be made, and not opened.
    Controller,
    /// An eBPF program at each machine's cgroup v2, with the same rules.
    Program,
    /// No cgroup does, so machines may make no nodes: the capability MKNOD is dropped.
    NoNodes,
}

impl DeviceGuard {
    /// That of this host. Whether the kernel lets us load programs shows only when one is loaded.
    #[must_use]
    pub fn of_host() -> Self {
        let Ok(hierarchies) = Hierarchies::detect() else { return Self::NoNodes };
        if hierarchies.v1_of(Controller::Devices).is_some() {
            return Self::Controller;
        }
        DeviceProgram::for_host(&hierarchies).map_or(Self::NoNodes, |_program| Self::Program)
    }
}

/// Confines a v1 directory.
pub(super) fn set_v1(dir: &Path) -> Result<(), EngineError> {
    write(&dir.join("devices.deny"), "a")?;
    let allow = dir.join("devices.allow");
    for device in ALLOWED {
        write(&allow, &v1_line(device))?;
    }
    write(&allow, "c *:* m")?;
    write(&allow, "b *:* m")
}

/// Lets a confined v1 directory use KVM.
pub(super) fn allow_kvm_v1(dir: &Path) -> Result<(), EngineError> {
    write(&dir.join("devices.allow"), &v1_line(KVM))
}

fn v1_line((major, minor): (i32, Option<i32>)) -> String {
    let minor = minor.map_or("*".to_owned(), |minor| minor.to_string());
    format!("c {major}:{minor} rwm")
}

/// The same rules for v2 directories.
#[derive(Debug)]
pub(crate) struct DeviceProgram(OwnedFd);

impl DeviceProgram {
    /// Loads the program where v1 does not do its work. A host that does not let us has none; its
    /// machines make no nodes instead.
    pub(crate) fn for_host(hierarchies: &Hierarchies) -> Option<Self> {
        Self::load_where_needed(hierarchies, &ALLOWED)
    }

    /// The same for one monitor, which may use KVM too.
    pub(super) fn with_kvm(hierarchies: &Hierarchies) -> Option<Self> {
        let allowed: Vec<_> = ALLOWED.into_iter().chain([KVM]).collect();
        Self::load_where_needed(hierarchies, &allowed)
    }

    fn load_where_needed(
        hierarchies: &Hierarchies,
        allowed: &[(i32, Option<i32>)],
    ) -> Option<Self> {
        let is_needed =
            hierarchies.v2.is_some() && hierarchies.v1_of(Controller::Devices).is_none();
        is_needed.then(|| Self::load(allowed)).and_then(Result::ok)
    }

    fn load(allowed: &[(i32, Option<i32>)]) -> Result<Self, Errno> {
        bpf::load_device_program(&rules(allowed)).map(Self)
    }

    /// Confines the v2 directory `dir` and those below.
    pub(super) fn attach(&self, dir: BorrowedFd<'_>) -> Result<(), Errno> {
        bpf::attach_device_program(self.0.as_fd(), dir)
    }
}

/// Bits of `access_type`: the kind of device below, what is wanted of it above.
/// Source: `BPF_DEVCG_*` of the kernel's `include/uapi/linux/bpf.h`.
const KIND_BITS: i32 = 0xffff;
const KIND_CHARACTER: i32 = 2;
const ACCESS_SHIFT: i32 = 16;
const ACCESS_MAKE: i32 = 1;

/// The rules as a program.
fn rules(allowed: &[(i32, Option<i32>)]) -> Vec<Instruction> {
    use Register::{Access, Answer, Context, Kind, Major, Minor};
    let mut program = vec![
        Instruction::load(Access, Context, 0),
        Instruction::load(Major, Context, 4),
        Instruction::load(Minor, Context, 8),
        Instruction::copy(Kind, Access),
        Instruction::and(Kind, KIND_BITS),
        Instruction::shift_right(Access, ACCESS_SHIFT),
        Instruction::set(Answer, 1),
        // Nothing but making a node: as it is.
        Instruction::skip_if_other(Access, ACCESS_MAKE, 1),
        Instruction::exit(),
        Instruction::skip_if_equal(Kind, KIND_CHARACTER, 2),
        Instruction::set(Answer, 0),
        Instruction::exit(),
    ];
    for (major, minor) in allowed.iter().copied() {
        match minor {
            Some(minor) => program.extend([
                Instruction::skip_if_other(Major, major, 2),
                Instruction::skip_if_other(Minor, minor, 1),
                Instruction::exit(),
            ]),
            None => {
                program.extend([Instruction::skip_if_other(Major, major, 1), Instruction::exit()])
            }
        }
    }
    program.extend([Instruction::set(Answer, 0), Instruction::exit()]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::files::{make_dir, open_dir, remove_tree};
    use std::path::PathBuf;
    use std::process::Command;

    /// A v2 cgroup, removed with this.
    struct Group(PathBuf);

    impl Drop for Group {
        fn drop(&mut self) {
            remove_tree(&self.0).ok();
        }
    }

    /// Runs in the cgroup `$0`, makes the nodes in `$1`.
    const SCRIPT: &str = "
        set -e
        echo $$ >\"$0/cgroup.procs\"
        is_refused() { ! (: <\"$1\") 2>/dev/null; }
        cd \"$1\"
        mknod disk b 7 0
        mknod kmsg c 1 11
        mknod console c 5 1
        for node in disk kmsg console; do is_refused $node; done
        : </dev/null
        : </dev/zero
        : </dev/urandom
        : </dev/pts/ptmx";

    #[test]
    fn the_program_refuses_to_open_what_may_be_made() {
        let v2 = Hierarchies::detect().expect("/proc").v2.expect("a v2 tree is mounted");
        let program = match DeviceProgram::load(&ALLOWED) {
            Ok(program) => program,
            Err(why) => return println!("skipped: no device program can be loaded: {why}"),
        };
        let group = Group(v2.path.join(format!("dormouse-devices-{}", std::process::id())));
        make_dir(&group.0).expect("a cgroup");
        program.attach(open_dir(&group.0).expect("just made").as_fd()).expect("attached");
        let nodes = std::env::temp_dir().join(group.0.file_name().expect("a name"));
        std::fs::create_dir(&nodes).expect("a directory");
        let ran = Command::new("sh").args(["-c", SCRIPT]).args([&group.0, &nodes]).output();
        std::fs::remove_dir_all(&nodes).expect("our own");
        let ran = ran.expect("sh");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}
