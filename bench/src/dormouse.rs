//! An instance of our own, in the scratch directory.

pub(crate) mod api;
pub(crate) mod usage;

use crate::cleanup::Guard;
use crate::image::{self, Image};
use crate::process::{self, Daemon};
use crate::scratch::Scratch;
use crate::words;
use anyhow::{Context as _, bail, ensure};
use api::Api;
use rustix::process::Signal;
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
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
    doors: Ipv4Addr,
    daemon: Daemon,
    _guard: Guard,
}

/// What control writes about itself when it serves.
#[derive(Clone, Debug, Deserialize)]
struct Endpoint {
    tcp: SocketAddr,
    control_pid: u32,
    runtime_dir: PathBuf,
}

impl Instance {
    /// Starts an instance and gives it the image.
    pub(crate) fn up(scratch: &Scratch, image: &Image) -> anyhow::Result<Self> {
        Self::up_with(scratch, image, "data", &[], &[])
    }

    /// The same in the directory `name`, with variables in its environment and more arguments.
    pub(crate) fn up_with(
        scratch: &Scratch,
        image: &Image,
        name: &str,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let program = process::beside("dormouse")?;
        for other in ["dormouse-shim", "dormouse-init", "dm"] {
            process::beside(other)?;
        }
        let data_dir = scratch.dir(name)?;
        let log = scratch.path(&format!("{name}.log"));
        let mut up = command(&program, &data_dir);
        up.envs(variables.iter().copied());
        let own_dir = data_dir.clone();
        let end = move |daemon: &Daemon| down(&program, &own_dir, daemon);
        let doors = own_loopback_address();
        up.args(["up", "--listen", "127.0.0.1:0", &format!("--proxy-listen={doors}")]);
        up.args(arguments);
        let (daemon, guard) = Daemon::spawn(&mut up, &log, end)?;
        let instance = Self { data_dir, log, doors, daemon, _guard: guard };
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

    /// Where visitors find the public port `port`.
    pub(crate) fn door(&self, port: u16) -> SocketAddr {
        (self.doors, port).into()
    }

    /// Waits until somebody listens at the public port `port`.
    pub(crate) fn wait_for_door(&self, port: u16) -> anyhow::Result<()> {
        let deadline = Instant::now() + UP_MAX;
        while TcpStream::connect(self.door(port)).is_err() {
            ensure!(Instant::now() < deadline, "no door opens at port {port}");
            std::thread::sleep(LOOK_PAUSE);
        }
        Ok(())
    }

    /// A file that stands for the network namespace from which machines are reached.
    pub(crate) fn router(&self) -> anyhow::Result<PathBuf> {
        let Endpoint { control_pid, runtime_dir, .. } = self.endpoint()?;
        // It is pinned in the instance's mount namespace, which is control's.
        let pin = runtime_dir.strip_prefix("/").unwrap_or(&runtime_dir).join("ns/router");
        Ok(Path::new("/proc").join(control_pid.to_string()).join("root").join(pin))
    }

    /// The process that keeps the doors.
    pub(crate) fn proxy_pid(&self) -> anyhow::Result<u32> {
        let is_proxy = |pid: &u32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.split(|byte| *byte == 0).any(|word| word == b"proxy")
        };
        let family = process::family(self.supervisor_pid());
        family.into_iter().find(is_proxy).context("there is no proxy")
    }

    /// The supervisor.
    pub(crate) fn supervisor_pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Directory of the machine `id`.
    pub(crate) fn machine_dir(&self, id: &str) -> PathBuf {
        self.data_dir.join("machines").join(id)
    }

    /// Where it keeps what its virtual machines begin from.
    pub(crate) fn vm_dir(&self) -> PathBuf {
        self.data_dir.join("vm")
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

/// An address of the loopback for the doors of one run: made of this process' number, in
/// 127.64.0.0/10.
fn own_loopback_address() -> Ipv4Addr {
    const BASE: u32 = u32::from_be_bytes([127, 64, 0, 0]);
    const OWN: u32 = u32::from_be_bytes([0, 63, 255, 255]);
    // The last octet is never 0 or 255, which some programs do not take for a host's.
    Ipv4Addr::from(BASE | (((std::process::id() << 2) | 1) & OWN))
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
