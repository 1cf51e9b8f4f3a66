//! A QEMU of the benchmark's own: the machine that an instance makes, and nothing of Dormouse around it.
//!
//! It runs as root, in the namespaces and cgroups of the benchmark, and has no link.
//!
//! * [`Base`]: what it begins from.
//! * [`guest`]: the guest init at the other end of its channel.

mod base;
mod guest;

pub(crate) use base::Base;

use crate::cleanup::Guard;
use crate::process::Daemon;
use anyhow::{Context as _, bail};
use guest::Guest;
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use vmm::qmp::{Capability, Qmp};

/// Longest wait for an answer of QEMU or of its guest: an emulated one boots in seconds, and all RAM may
/// have to go to a slow disk.
const ANSWER_MAX: Duration = Duration::from_mins(3);

/// Most of its last words that are repeated, in bytes.
const SAID_MAX_BYTES: usize = 1000;

/// Name under which it gets the file that a guest is saved to or loaded from.
const STATE: &str = "state";

/// Puts descriptors where [`vmm::command_line::fd`] has them, then becomes QEMU: what `Command` can only do
/// with an unsafe step. The two sockets come as standard streams, the three files by name.
const OPEN_AND_BECOME: &str = r#"exec 3<&0 4<&1 5<"$1" 6<"$2" 7<>"$3" 0</dev/null 1>&2
shift 3
exec "$@""#;

/// A QEMU; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Qemu {
    qmp: Qmp,
    guest: Guest,
    _guard: Guard,
}

/// How a QEMU is started.
struct Launch<'a> {
    arguments: Vec<String>,
    /// What lies behind the descriptors from [`vmm::command_line::fd::RAM`] on.
    files: [&'a Path; 3],
    /// Where its words go.
    log: &'a Path,
}

impl Qemu {
    /// Starts one; returns when it takes commands, its guest stopped.
    fn start(launch: &Launch<'_>) -> anyhow::Result<Self> {
        let (monitor, monitor_end) = UnixStream::pair().context("cannot make a socket")?;
        let (channel, channel_end) = UnixStream::pair().context("cannot make a socket")?;
        let log = launch.log;
        let stderr = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", OPEN_AND_BECOME, "sh"])
            .args(launch.files)
            .arg(vmm::QEMU)
            .args(&launch.arguments)
            .stdin(OwnedFd::from(monitor_end))
            .stdout(OwnedFd::from(channel_end))
            .stderr(stderr);
        // Nothing in it has to end in order.
        let (_daemon, guard) = Daemon::start(&mut command, |qemu| qemu.end(Duration::ZERO))?;
        // It holds the ends that are QEMU's: as long as they are open here, its end would not show.
        drop(command);
        let qmp = Qmp::connect(monitor, soon())
            .with_context(|| format!("QEMU does not come up: {}", last_words(log)))?;
        Ok(Self { qmp, guest: Guest::new(channel)?, _guard: guard })
    }

    /// Loads what `state` has; the guest stays stopped.
    fn load(&mut self, state: &Path) -> anyhow::Result<()> {
        let file = File::open(state).with_context(|| format!("cannot open {}", state.display()))?;
        self.prepare_migration(&file)?;
        self.qmp.load_from(STATE, soon()).context("QEMU does not load")?;
        self.wait_for_migration()
    }

    /// Saves the guest, which is stopped, with all RAM that is not shared.
    pub(crate) fn save(&mut self, state: &File) -> anyhow::Result<()> {
        self.prepare_migration(state)?;
        self.qmp.save_to(STATE, soon()).context("QEMU does not save")?;
        self.wait_for_migration()
    }

    /// Lets the guest run.
    fn cont(&mut self) -> anyhow::Result<()> {
        self.qmp.cont(soon()).context("QEMU does not let its guest run")
    }

    /// Stops the guest.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        self.qmp.stop(soon()).context("QEMU does not stop its guest")
    }

    /// Of RAM that is private the first capability leaves nothing out, but it shapes what is written; so
    /// both sides always have it.
    fn prepare_migration(&mut self, state: &File) -> anyhow::Result<()> {
        let capabilities = [Capability::XIgnoreShared, Capability::Events];
        self.qmp.set_capabilities(&capabilities, soon()).context("QEMU is of another kind")?;
        self.qmp.getfd(STATE, state.as_fd(), soon()).context("QEMU takes no file")
    }

    fn wait_for_migration(&mut self) -> anyhow::Result<()> {
        loop {
            let event = self.qmp.wait_for("MIGRATION", soon()).context("QEMU is silent")?;
            match event.data["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    bail!("the guest is not moved: {:?}", self.qmp.migration(soon())?)
                }
                _ => {}
            }
        }
    }
}

/// The end of what it has said.
fn last_words(log: &Path) -> String {
    let said = std::fs::read(log).unwrap_or_default();
    let end = &said[said.len().saturating_sub(SAID_MAX_BYTES)..];
    String::from_utf8_lossy(end).trim().to_owned()
}

fn soon() -> Instant {
    Instant::now() + ANSWER_MAX
}

#[cfg(test)]
mod tests {
    use super::{Launch, Qemu};
    use crate::process;
    use std::path::Path;

    #[test]
    fn one_that_does_not_come_up_says_why_and_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = Path::new("/dev/null");
        let launch = Launch {
            arguments: vec!["-nonsense".to_owned()],
            files: [nothing; 3],
            log: &dir.path().join("log"),
        };
        let error = format!("{:#}", Qemu::start(&launch).unwrap_err());
        // Its own words, or those of the shell that does not find it.
        assert!(error.contains(vmm::QEMU), "{error}");
        assert!(process::running(std::process::id(), vmm::QEMU).is_empty());
    }
}
