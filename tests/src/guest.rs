//! A virtual machine without hardware help, from power-on to its last word.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// With ACPI the kernel finds no clock on a busy host: it measures its own against a timer that QEMU
/// keeps waiting, and knows no other.
const MACHINE: &str = "microvm,acpi=off,rtc=on";

/// RAM of the guest: the archive, its files, and two instances.
const RAM: &str = "2048M";

/// What the guest says last when all is done.
const LAST_WORD: &str = "the guest is done";

/// A run of a guest. It ends with this.
#[derive(Debug)]
pub struct Guest(Child);

impl Guest {
    /// Boots; everything that the guest says goes to the file `console`.
    ///
    /// # Errors
    /// QEMU is not there.
    ///
    /// # Panics
    /// The console cannot be made.
    pub fn boot(
        kernel: &Path,
        initramfs: &Path,
        words: &str,
        console: &Path,
    ) -> Result<Self, String> {
        let out = File::create(console).expect("the console can be made");
        let spawned = Command::new("qemu-system-x86_64")
            .args(["-machine", MACHINE, "-accel", "tcg", "-cpu", "max", "-m", RAM])
            .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"])
            .args(["-serial", "stdio"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", &format!("console=ttyS0 loglevel=1 panic=-1 reboot=t {words}")])
            .stdin(Stdio::null())
            .stderr(out.try_clone().expect("a descriptor"))
            .stdout(out)
            .spawn();
        spawned.map(Self).map_err(|error| format!("`qemu-system-x86_64` does not run: {error}"))
    }

    /// Waits until the guest has done its work and has gone; what it said.
    ///
    /// # Panics
    /// It has not in time, or did not get through.
    #[must_use]
    #[track_caller]
    pub fn wait(self, patience: Duration, console: &Path) -> String {
        let pid = Pid::from_child(&self.0);
        let ended = pidfd_open(pid, PidfdFlags::empty()).expect("our own child");
        let timeout = Timespec::try_from(patience).expect("minutes");
        let n_ended = poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&timeout));
        let has_ended = n_ended.expect("a descriptor can be polled") > 0;
        let said = fs::read(console).expect("the console");
        let said = String::from_utf8_lossy(&said).replace('\r', "");
        assert!(has_ended, "the guest is not done within {patience:?}:\n{said}");
        assert!(said.contains(LAST_WORD), "the guest ended before it was done:\n{said}");
        said
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
