//! An instance of our own, in the scratch directory.

pub(crate) mod api;
pub(crate) mod usage;

use crate::cleanup::Guard;
use crate::image::{self, Image};
use crate::process::{self, Daemon};
use crate::scratch::Scratch;
use crate::words;
use anyhow::{Context as _, bail};
use api::Api;
use rustix::process::Signal;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for control to serve.
const UP_MAX: Duration = Duration::from_secs(30);

/// Longest wait for the supervisor to end after `down`.
const END_MAX: Duration = Duration::from_secs(10);

/// Pause between two looks at the endpoint file while control comes up; nothing is measured then.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Bytes of the log's end that are shown when the instance does not come up.
const LOG_END_BYTES: usize = 2000;

/// A running instance; ends with its last use.
#[derive(Debug)]
pub(crate) struct Instance {
    data_dir: PathBuf,
    log: PathBuf,
    daemon: Daemon,
    _guard: Guard,
}

/// What control writes about itself when it serves.
#[derive(Clone, Debug, Deserialize)]
struct Endpoint {
    tcp: SocketAddr,
    control_pid: u32,
}

impl Instance {
    /// Starts an instance and gives it the image.
    pub(crate) fn up(scratch: &Scratch, image: &Image) -> anyhow::Result<Self> {
        let program = process::beside("dormouse")?;
        for other in ["dormouse-shim", "dormouse-init", "dm"] {
            process::beside(other)?;
        }
        let data_dir = scratch.dir("data")?;
        let log = scratch.path("dormouse.log");
        let mut up = command(&program, &data_dir);
        let own_dir = data_dir.clone();
        let end = move |daemon: &Daemon| down(&program, &own_dir, daemon);
        let (daemon, guard) = Daemon::spawn(up.args(["up", "--listen", "127.0.0.1:0"]), &log, end)?;
        let instance = Self { data_dir, log, daemon, _guard: guard };
        instance.wait_until_served(None)?;
        let mut api = instance.connect()?;
        api.import(&image.tarball, image::NAME)?;
        api.create_app()?;
        Ok(instance)
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> anyhow::Result<Api> {
        let path = self.data_dir.join("owner.token");
        let token = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Api::connect(self.endpoint()?.tcp, token.trim())
    }

    /// The supervisor.
    pub(crate) fn supervisor_pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Directory of the machine `id`.
    pub(crate) fn machine_dir(&self, id: &str) -> PathBuf {
        self.data_dir.join("machines").join(id)
    }

    /// Kills control and waits until its successor serves.
    pub(crate) fn kill_control(&self) -> anyhow::Result<()> {
        let old = self.endpoint()?.control_pid;
        process::signal(old, Signal::KILL);
        self.wait_until_served(Some(old))
    }

    fn endpoint(&self) -> anyhow::Result<Endpoint> {
        let path = self.data_dir.join("endpoint.json");
        let text =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Waits until control serves, and is not the process `old`.
    fn wait_until_served(&self, old: Option<u32>) -> anyhow::Result<()> {
        let deadline = Instant::now() + UP_MAX;
        while Instant::now() < deadline && !self.daemon.has_ended() {
            let serving = self.endpoint().ok().filter(|now| Some(now.control_pid) != old);
            if serving.is_some() && self.connect().and_then(|mut api| api.health()).is_ok() {
                return Ok(());
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        let log = std::fs::read(&self.log).unwrap_or_default();
        let end = &log[log.len().saturating_sub(LOG_END_BYTES)..];
        bail!("dormouse does not come up; its log ends: {}", String::from_utf8_lossy(end).trim())
    }
}

fn command(program: &Path, data_dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(data_dir);
    command
}

/// Ends the instance with all its machines; what `down` leaves is killed.
fn down(program: &Path, data_dir: &Path, daemon: &Daemon) {
    let family: Vec<_> =
        process::family(daemon.pid()).into_iter().filter_map(process::open).collect();
    if let Err(error) = process::run_at_end(command(program, data_dir).arg("down")) {
        words::tell(&format!("warning: the instance does not end in order: {error:#}"));
    }
    daemon.end(END_MAX);
    family.iter().for_each(process::kill_handle);
}
