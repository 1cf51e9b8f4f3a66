//! All programs of the machine, which can be made to stand still while init goes on.
//!
//! Init begins in a control group of its own, where everybody begins whom it starts, at no cost of theirs.
//! To hold them it leaves for the root of the tree, which nobody can freeze, and comes back afterwards. A
//! program that is on its way out of the kernel, or on another processor, does not come back to its own code
//! before it is let go, so nobody is waited for. Who has the rights moves to a group of its own making: those
//! are held, too, but not the root of the tree.

use super::Failure;
use super::staged::make_dir;
use rustix::fs::{Dir, FileType, Mode, OFlags, openat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

/// The group in which programs begin.
const GROUP: &CStr = c"programs";

/// The root of the tree.
const ROOT: &CStr = c".";

/// Longest text of a switch.
const SWITCH_MAX_BYTES: usize = 16;

/// The programs of the machine.
#[derive(Debug)]
pub(super) struct Programs {
    /// Root of the tree of control groups, whatever the machine makes of its mounts.
    tree: OwnedFd,
    /// Groups below the root that stand still by our word.
    held: Vec<CString>,
    /// Init is not among them.
    are_held: bool,
}

impl Programs {
    /// Whoever is started from now on belongs to them.
    pub(super) fn begin(tree: OwnedFd) -> Result<Self, Errno> {
        let mut programs = Self { tree, held: Vec::new(), are_held: false };
        programs.join()?;
        Ok(programs)
    }

    /// The group may have been removed while nobody was in it.
    fn join(&mut self) -> Result<(), Errno> {
        make_dir(&self.tree, GROUP)?;
        self.move_to(GROUP)?;
        self.are_held = false;
        Ok(())
    }

    /// Nobody can be started: it would stand still before it says how it went.
    pub(super) const fn are_held(&self) -> bool {
        self.are_held
    }

    /// Has them stand still. After an error all of them go on.
    pub(super) fn hold(&mut self) -> Result<(), Failure> {
        if self.are_held {
            return Ok(());
        }
        self.are_held = true;
        let held = self.move_to(ROOT).and_then(|()| self.freeze_groups());
        held.map_err(Failure::of("hold the programs")).or_else(|failure| {
            self.release()?;
            self.rejoin()?;
            Err(failure)
        })
    }

    fn freeze_groups(&mut self) -> Result<(), Errno> {
        let tree = openat(&self.tree, ROOT, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        for entry in Dir::new(tree)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type() != FileType::Directory || name == c"." || name == c".." {
                continue;
            }
            match self.turn(name, b"0", b"1") {
                Ok(true) => self.held.push(name.to_owned()),
                // Held by the machine itself; or gone; or this kernel holds nobody.
                Ok(false) | Err(Errno::NOENT | Errno::NODEV) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Lets go those who stand still by our word.
    pub(super) fn release(&mut self) -> Result<(), Failure> {
        for name in std::mem::take(&mut self.held) {
            match self.turn(&name, b"1", b"0") {
                Ok(_) | Err(Errno::NOENT | Errno::NODEV) => {}
                Err(error) => return Err(Failure::of("let the programs go")(error)),
            }
        }
        Ok(())
    }

    /// After [`release`](Self::release): who is started belongs to them again.
    pub(super) fn rejoin(&mut self) -> Result<(), Failure> {
        self.join().map_err(Failure::of("go back to the programs"))
    }

    /// Turns the freezer of a group; whether it stood as it was believed to.
    fn turn(&self, group: &CStr, from: &[u8], to: &[u8]) -> Result<bool, Errno> {
        let file = self.open(group, "cgroup.freeze", OFlags::RDWR)?;
        let mut text = [0; SWITCH_MAX_BYTES];
        let n_bytes = rustix::io::read(&file, &mut text)?;
        if text[..n_bytes].trim_ascii() != from {
            return Ok(false);
        }
        rustix::io::write(&file, to)?;
        Ok(true)
    }

    /// Moves init itself.
    fn move_to(&self, group: &CStr) -> Result<(), Errno> {
        let file = self.open(group, "cgroup.procs", OFlags::WRONLY)?;
        rustix::io::write(file, b"0").map(drop)
    }

    fn open(&self, group: &CStr, name: &str, how: OFlags) -> Result<OwnedFd, Errno> {
        let path = [group.to_bytes(), b"/", name.as_bytes()].concat();
        openat(&self.tree, path, how | OFlags::CLOEXEC, Mode::empty())
    }
}
