//! The commands that we use.

use super::Qmp;
use super::error::QmpError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::os::fd::BorrowedFd;
use std::time::Instant;

/// What a QEMU does, as far as we care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It waits to be given what it saved.
    Incoming,
    /// The guest does not run, and can.
    Paused,
    /// The guest runs.
    Running,
    /// The guest has switched itself off or has crashed.
    Ended,
}

/// What a migration can do beyond the plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// RAM that lies in a shared file is left there.
    XIgnoreShared,
    /// The source says how it is made, and the target checks that.
    Events,
}

/// How far saving or loading is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// On its way.
    UnderWay,
    /// Done.
    Completed,
    /// It did not work out.
    Failed {
        /// QEMU's words, if it has any.
        why: String,
    },
}

/// A number under which QEMU holds descriptors; it opens `/dev/fdset/<number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdSet(pub u32);

/// The name of a node in QEMU's graph of disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BlockNode(pub String);

/// Another file for a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The node that the guest has.
    pub raw: BlockNode,
    /// The node of the file.
    pub file: BlockNode,
    /// The guest can only read it.
    pub is_read_only: bool,
}

impl FdSet {
    /// The name by which QEMU opens what is in it.
    #[must_use]
    pub fn path(self) -> String {
        format!("/dev/fdset/{}", self.0)
    }
}

#[derive(Deserialize)]
struct Status {
    status: String,
}

#[derive(Deserialize)]
struct MigrationStatus {
    // Absent before the first one.
    status: Option<String>,
    #[serde(default, rename = "error-desc")]
    why: String,
}

/// Each may fail as [`QmpError`] says; what it was to do may then have been done or not.
#[allow(clippy::missing_errors_doc, reason = "the same for all, and said above")]
impl Qmp {
    /// Lets the guest run.
    pub fn cont(&mut self, deadline: Instant) -> Result<(), QmpError> {
        self.order("cont", None, &[], deadline)
    }

    /// Stops the guest from running.
    pub fn stop(&mut self, deadline: Instant) -> Result<(), QmpError> {
        self.order("stop", None, &[], deadline)
    }

    /// Ends QEMU; what it has not written is lost.
    pub fn quit(&mut self, deadline: Instant) -> Result<(), QmpError> {
        self.order("quit", None, &[], deadline)
    }

    /// What QEMU does.
    pub fn status(&mut self, deadline: Instant) -> Result<RunState, QmpError> {
        let Status { status } = self.ask("query-status", None, deadline)?;
        match status.as_str() {
            "inmigrate" => Ok(RunState::Incoming),
            "running" => Ok(RunState::Running),
            "paused" | "prelaunch" | "postmigrate" | "finish-migrate" | "save-vm"
            | "restore-vm" => Ok(RunState::Paused),
            "shutdown" | "guest-panicked" | "internal-error" | "io-error" => Ok(RunState::Ended),
            other => Err(QmpError::Garbage { what: format!("the status `{other}`") }),
        }
    }

    /// Hands over a descriptor under a name, for one use.
    pub fn getfd(
        &mut self,
        name: &str,
        fd: BorrowedFd<'_>,
        deadline: Instant,
    ) -> Result<(), QmpError> {
        self.order("getfd", Some(json!({"fdname": name})), &[fd], deadline)
    }

    /// Hands over a descriptor to be opened, any number of times, as [`FdSet::path`]. It is found only
    /// by who opens it just as it is open: to read, to write, or for both.
    pub fn add_fd(
        &mut self,
        set: FdSet,
        fd: BorrowedFd<'_>,
        deadline: Instant,
    ) -> Result<(), QmpError> {
        self.execute("add-fd", Some(json!({"fdset-id": set.0})), &[fd], deadline).map(drop)
    }

    /// Drops the descriptors of a set that nothing has open any more.
    pub fn remove_fd(&mut self, set: FdSet, deadline: Instant) -> Result<(), QmpError> {
        self.order("remove-fd", Some(json!({"fdset-id": set.0})), &[], deadline)
    }

    /// Makes a node of the file in a set.
    pub fn add_file_node(
        &mut self,
        node: &BlockNode,
        set: FdSet,
        is_read_only: bool,
        deadline: Instant,
    ) -> Result<(), QmpError> {
        let arguments = with_access(
            json!({
                "driver": "file", "node-name": node, "filename": set.path(), "locking": "off",
            }),
            is_read_only,
        );
        self.order("blockdev-add", Some(arguments), &[], deadline)
    }

    /// Puts other files below nodes in `raw` format, of all or of none: what the guest has as its disks are
    /// then those files.
    pub fn swap_files(&mut self, swaps: &[Swap], deadline: Instant) -> Result<(), QmpError> {
        let options: Vec<Value> = swaps
            .iter()
            .map(|swap| {
                let options = json!({"driver": "raw", "node-name": swap.raw, "file": swap.file});
                with_access(options, swap.is_read_only)
            })
            .collect();
        self.order("blockdev-reopen", Some(json!({"options": options})), &[], deadline)
    }

    /// Forgets a node that nothing uses any more.
    pub fn remove_node(&mut self, node: &BlockNode, deadline: Instant) -> Result<(), QmpError> {
        self.order("blockdev-del", Some(json!({"node-name": node})), &[], deadline)
    }

    /// Tells the guest how large a disk is: a restored one believes in the size that was saved.
    pub fn resize(
        &mut self,
        node: &BlockNode,
        size_bytes: u64,
        deadline: Instant,
    ) -> Result<(), QmpError> {
        let arguments = json!({"node-name": node, "size": size_bytes});
        self.order("block_resize", Some(arguments), &[], deadline)
    }

    /// Turns capabilities of migrations on, and all others stay off.
    pub fn set_capabilities(
        &mut self,
        on: &[Capability],
        deadline: Instant,
    ) -> Result<(), QmpError> {
        let capabilities: Vec<_> =
            on.iter().map(|one| json!({"capability": one, "state": true})).collect();
        let arguments = json!({"capabilities": capabilities});
        self.order("migrate-set-capabilities", Some(arguments), &[], deadline)
    }

    /// Begins to save the guest into a descriptor handed over by [`Qmp::getfd`].
    pub fn save_to(&mut self, name: &str, deadline: Instant) -> Result<(), QmpError> {
        self.order("migrate", Some(json!({"uri": format!("fd:{name}")})), &[], deadline)
    }

    /// Begins to load a guest from a descriptor handed over by [`Qmp::getfd`].
    pub fn load_from(&mut self, name: &str, deadline: Instant) -> Result<(), QmpError> {
        let arguments = json!({"uri": format!("fd:{name}")});
        self.order("migrate-incoming", Some(arguments), &[], deadline)
    }

    /// How far that is.
    pub fn migration(&mut self, deadline: Instant) -> Result<Migration, QmpError> {
        let MigrationStatus { status, why } = self.ask("query-migrate", None, deadline)?;
        Ok(match status.as_deref() {
            Some("completed") => Migration::Completed,
            Some("failed" | "cancelling" | "cancelled") => Migration::Failed { why },
            _ => Migration::UnderWay,
        })
    }

    /// Saves the state of all devices, and no RAM, into the file in a set, which is open to write only.
    /// The guest must be stopped, and goes on from there when it is let run.
    pub fn save_devices(&mut self, set: FdSet, deadline: Instant) -> Result<(), QmpError> {
        let arguments = json!({"filename": set.path(), "live": true});
        self.order("xen-save-devices-state", Some(arguments), &[], deadline)
    }

    /// A command that answers with nothing.
    fn order(
        &mut self,
        command: &'static str,
        arguments: Option<Value>,
        fds: &[BorrowedFd<'_>],
        deadline: Instant,
    ) -> Result<(), QmpError> {
        self.execute(command, arguments, fds, deadline).map(drop)
    }

    fn ask<T: for<'de> Deserialize<'de>>(
        &mut self,
        command: &'static str,
        arguments: Option<Value>,
        deadline: Instant,
    ) -> Result<T, QmpError> {
        let answer = self.execute(command, arguments, &[], deadline)?;
        T::deserialize(answer).map_err(|error| QmpError::Garbage {
            what: format!("an answer to `{command}` of another shape: {error}"),
        })
    }
}

/// Options of a node for a disk that can only be read, or that gives back to its file what the guest
/// frees. Everything else is as QEMU has it when nothing is said.
fn with_access(mut options: Value, is_read_only: bool) -> Value {
    let (name, value) = match is_read_only {
        true => ("read-only", json!(true)),
        false => ("discard", json!("unmap")),
    };
    options[name] = value;
    options
}
