//! The floor program: what the kernel alone asks for a start with a disk.

use super::Starts;
use crate::cleanup::{self, Guard};
use crate::clock::{ms_between, now_ns};
use crate::image::Image;
use crate::process;
use crate::scratch::Scratch;
use crate::stamp::Lines;
use anyhow::{Context as _, ensure};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

/// Size of a disk: as machines have by default.
const DISK_BYTES: u64 = 8 << 30;

/// The program, waiting for orders, and its disks.
pub(crate) struct Floor {
    orders: ChildStdin,
    lines: Lines,
    disks: Vec<PathBuf>,
    _process: Guard,
}

impl Floor {
    /// Starts the program with `n` formatted disks.
    pub(crate) fn up(scratch: &Scratch, image: &Image, n: usize) -> anyhow::Result<Self> {
        let program = process::beside("bench-floor")?;
        let dir = scratch.dir("floor")?;
        let disks: Vec<_> = (0..n).map(|idx| dir.join(format!("disk{idx}.ext4"))).collect();
        for disk in &disks {
            format(disk).with_context(|| format!("cannot make {}", disk.display()))?;
        }
        let mut command = Command::new(program);
        command.arg(&image.rootfs).arg(&dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let (orders, output, guard) = cleanup::uninterrupted(|| {
            let mut child = command.spawn().context("cannot start bench-floor")?;
            let pipes = child.stdin.take().zip(child.stdout.take());
            let guard = cleanup::at_end(move || {
                // Killing it ends everything it made; it may have ended by itself.
                let _gone = child.kill();
                let _gone = child.wait();
            });
            let (orders, output) = pipes.context("bench-floor has no pipes")?;
            anyhow::Ok((orders, output, guard))
        })?;
        Ok(Self { orders, lines: Lines::new(OwnedFd::from(output)), disks, _process: guard })
    }

    fn order(&mut self, order: &str) -> anyhow::Result<()> {
        self.orders.write_all(order.as_bytes()).context("bench-floor has ended")
    }
}

/// Makes a disk like those of machines.
fn format(disk: &Path) -> anyhow::Result<()> {
    File::create(disk)?.set_len(DISK_BYTES)?;
    let mkfs = process::find("mkfs.ext4").context("mkfs.ext4 is not installed")?;
    let options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,assume_storage_prezeroed=1";
    process::run(
        Command::new(mkfs)
            .args(["-q", "-F", "-m", "0", "-O", "^resize_inode", "-J", "size=4", "-E", options])
            .arg(disk),
    )
    .map(drop)
}

impl Starts for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn start(&mut self, round: usize) -> anyhow::Result<f64> {
        let order = format!("start {}\n", self.disks[round % self.disks.len()].display());
        let asked_ns = now_ns();
        self.order(&order)?;
        Ok(ms_between(asked_ns, self.lines.next_stamp()?))
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        self.order("stop\n")?;
        let line = self.lines.next_line()?;
        ensure!(line == "stopped", "bench-floor answered `{line}`");
        Ok(())
    }
}
