//! What the child tells the shim on its way: moments, then silence (success) or one failure.
//!
//! Records of 16 bytes over a pipe that `execve` closes: kind, id, two zero bytes, errno (i32),
//! monotonic nanoseconds (u64), all in the host's byte order.

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::os::fd::AsFd;

/// Bytes of a record. Writes of this size to a pipe are atomic.
pub(crate) const RECORD_BYTES: usize = 16;

/// The steps of the child, in order.
macro_rules! steps {
    ($($name:ident = $text:literal,)*) => {
        /// A step of the child; its text continues "the machine's first process could not …".
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Step { $($name,)* }

        impl Step {
            const ALL: &[(Self, &str)] = &[$((Self::$name, $text),)*];

            /// What could not be done.
            pub(crate) const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

steps! {
    Session = "start a session",
    JoinCgroup = "join its cgroup",
    CgroupNamespace = "make its cgroup namespace",
    NetNamespace = "join its network namespace",
    FileIds = "take on the file rights of the guest's root",
    Gift = "receive its disk",
    Layers = "attach the image and the disk",
    Overlay = "mount the overlay of image and disk",
    OverlayReadOnly = "write to the overlay of image and disk",
    MountPoint = "make a mount point in the image",
    Proc = "mount /proc",
    Sys = "mount /sys",
    Dev = "mount /dev",
    DevNode = "make a device node",
    OwnDirs = "mount /.fly",
    Run = "mount /run",
    Mask = "mask a path of /proc or /sys",
    Pivot = "change to its root file system",
    HostName = "set its host name",
    Pid1 = "start the program's own PID 1 environment",
    Pid1Cgroup = "mount the delegated cgroup",
    MonitorRoot = "build the root of the virtual machine's monitor",
    MonitorUser = "become the user of the virtual machine's monitor",
    UserNamespace = "join its user namespace",
    Ids = "become the guest's root",
    Capabilities = "drop its capabilities",
    NoNewPrivileges = "give up new privileges",
    DeathSignal = "tie its life to the shim's",
    Orphan = "find its shim alive",
    Signals = "reset its signals",
    Descriptors = "arrange its descriptors",
    Seccomp = "install the system call filter",
    Exec = "execute the guest init",
    MonitorExec = "execute the virtual machine's monitor",
}

impl Step {
    fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).map(|(step, _)| *step)
    }
}

/// Parts of the way that are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Moment {
    /// The child runs.
    Cloned,
    /// In its cgroups and network namespace.
    Joined,
    /// `/proc`, `/sys`, `/dev` are mounted and masked.
    Mounted,
    /// The disk has come; the time before was the shim's, which tells it as `disk`.
    Given,
    /// The overlay is mounted.
    Overlay,
    /// Its root is in place.
    Pivoted,
    /// All rights are dropped; next is `execve`.
    Confined,
}

impl Moment {
    /// With the names of the parts that end there; a wait has none.
    const ALL: [(Self, Option<&str>); 7] = [
        (Self::Cloned, Some("clone")),
        (Self::Joined, Some("join")),
        (Self::Mounted, Some("mounts")),
        (Self::Given, None),
        (Self::Overlay, Some("overlay")),
        (Self::Pivoted, Some("pivot")),
        (Self::Confined, Some("confine")),
    ];
}

/// A step and why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) errno: Errno,
}

impl Step {
    /// Wraps the error of this step; made for `map_err`.
    pub(crate) fn failed(self) -> impl FnOnce(Errno) -> Failure {
        move |errno| Failure { step: self, errno }
    }
}

/// A record as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A part of the way, or a wait, ended at this monotonic time in nanoseconds.
    Passed { part: Option<&'static str>, at_ns: u64 },
    /// The child has failed.
    Failed(Failure),
}

/// Monotonic time in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Writes that `moment` has passed. Losing it costs a figure, so the error is not one.
pub(crate) fn passed(pipe: impl AsFd, moment: Moment) {
    send(pipe, 0, moment as u8, 0);
}

/// Writes the failure. There is nobody else to tell when that fails.
pub(crate) fn failed(pipe: impl AsFd, failure: Failure) {
    send(pipe, 1, failure.step as u8, failure.errno.raw_os_error());
}

fn send(pipe: impl AsFd, kind: u8, id: u8, errno: i32) {
    let mut record = [0; RECORD_BYTES];
    record[0] = kind;
    record[1] = id;
    record[4..8].copy_from_slice(&errno.to_ne_bytes());
    record[8..16].copy_from_slice(&monotonic_ns().to_ne_bytes());
    rustix::io::write(pipe, &record).ok();
}

impl Record {
    /// Reads a record; `None` when it is not one that [`send`] wrote.
    pub(crate) fn parse(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let word = |at: usize| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        match bytes[0] {
            0 => {
                let (_, part) = *Moment::ALL.get(usize::from(bytes[1]))?;
                let mut at = [0; 8];
                at.copy_from_slice(&bytes[8..16]);
                Some(Self::Passed { part, at_ns: u64::from_ne_bytes(at) })
            }
            1 => {
                let step = Step::from_id(bytes[1])?;
                let errno = Errno::from_raw_os_error(i32::from_ne_bytes(word(4)));
                Some(Self::Failed(Failure { step, errno }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn every_step_and_moment_is_read_as_written() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut read = || {
            let mut bytes = [0; RECORD_BYTES];
            reader.read_exact(&mut bytes).expect("a record");
            Record::parse(&bytes).expect("well formed")
        };
        for (step, _) in Step::ALL {
            let failure = Failure { step: *step, errno: Errno::ACCESS };
            failed(&writer, failure);
            assert_eq!(read(), Record::Failed(failure));
        }
        for (moment, name) in Moment::ALL {
            passed(&writer, moment);
            assert!(matches!(read(), Record::Passed { part, .. } if part == name));
        }
    }
}
