//! `runc` on a prepared bundle: what the runtime below Docker and Podman costs alone.

use super::Starts;
use crate::cleanup::{self, Guard};
use crate::clock::{ms_between, now_ns};
use crate::image::{self, Image};
use crate::process;
use crate::scratch::Scratch;
use crate::stamp::Lines;
use anyhow::{Context as _, ensure};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longest wait for a killed program to end.
const KILL_MAX: Duration = Duration::from_secs(10);

/// A prepared bundle.
pub(crate) struct Runc {
    home: Home,
    /// Our copy of the end that programs write to: keeps the pipe open between rounds.
    output: OwnedFd,
    lines: Lines,
    _container: Guard,
}

#[derive(Clone, Debug)]
struct Home {
    program: PathBuf,
    state: PathBuf,
    bundle: PathBuf,
    container: String,
}

impl Runc {
    /// Prepares the bundle.
    pub(crate) fn up(scratch: &Scratch, image: &Image) -> anyhow::Result<Self> {
        let home = Home {
            program: process::find("runc").context("runc is not installed")?,
            state: scratch.dir("runc")?,
            bundle: scratch.dir("bundle")?,
            container: format!("{}-runc", scratch.tag()),
        };
        process::run(Command::new(&home.program).arg("spec").current_dir(&home.bundle))?;
        adapt(&home.bundle.join("config.json"), &image.rootfs)?;
        let guard = {
            let home = home.clone();
            cleanup::at_end(move || home.remove())
        };
        let (input, output) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
        Ok(Self { home, output, lines: Lines::new(input), _container: guard })
    }
}

/// Our program and root; limits that this host may not raise stay out.
fn adapt(path: &Path, rootfs: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut config: Value = serde_json::from_slice(&text)?;
    config["process"]["args"] = json!([image::PROGRAM]);
    config["process"]["terminal"] = json!(false);
    config["process"]["rlimits"] = json!([]);
    config["root"]["path"] = json!(rootfs);
    std::fs::write(path, config.to_string())
        .with_context(|| format!("cannot write {}", path.display()))
}

impl Home {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state);
        command
    }

    fn pid_file(&self) -> PathBuf {
        self.bundle.join("pid")
    }

    fn remove(&self) {
        // Usually the last round has removed it already.
        let _nothing_there =
            process::run_at_end(self.command().args(["delete", "--force", &self.container]));
    }
}

impl Starts for Runc {
    fn name(&self) -> &'static str {
        "runc"
    }

    fn start(&mut self, _round: usize) -> anyhow::Result<f64> {
        let output = self.output.try_clone().context("cannot share the pipe")?;
        let mut command = self.home.command();
        command
            .args(["run", "--detach", "--bundle"])
            .arg(&self.home.bundle)
            .arg("--pid-file")
            .arg(self.home.pid_file())
            .arg(&self.home.container)
            .stdin(Stdio::null())
            .stdout(output);
        let asked_ns = now_ns();
        let status = cleanup::uninterrupted(|| command.status()).context("cannot run runc")?;
        ensure!(status.success(), "runc failed with {status}");
        Ok(ms_between(asked_ns, self.lines.next_stamp()?))
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let file = self.home.pid_file();
        let pid = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let pid = pid.trim().parse().with_context(|| format!("`{pid}` is no process"))?;
        process::signal(pid, Signal::KILL);
        ensure!(process::wait_for_end(pid, KILL_MAX), "the program does not end");
        process::run(self.home.command().args(["delete", &self.home.container])).map(drop)
    }
}
