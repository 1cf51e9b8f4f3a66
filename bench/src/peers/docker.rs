//! `dockerd`, asked through its API over its unix socket.

pub(crate) mod pull;
pub(crate) mod wake;

use super::{Creates, Starts};
use crate::cleanup::Guard;
use crate::clock::{ms_between, now_ns};
use crate::host::remove_cgroups;
use crate::http::Http;
use crate::image::{self, Image};
use crate::process::{self, Daemon};
use crate::scratch::{Scratch, remove_what_appears};
use crate::stamp;
use anyhow::{Context as _, bail};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for the daemon to serve, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause between two looks while the daemon comes up; nothing is measured then.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What it leaves outside its own directories, innermost first.
const FOOTPRINT: [&str; 8] = [
    "/etc/docker/key.json",
    "/opt/containerd/bin",
    "/opt/containerd/lib",
    "/opt/containerd",
    "/run/containerd/s",
    "/run/containerd",
    "/run/docker/plugins",
    "/run/docker",
];

/// A daemon of our own with prepared containers.
pub(crate) struct Docker {
    http: Http,
    data_dir: PathBuf,
    cgroup_parent: String,
    containers: Vec<String>,
    running: Option<String>,
    _daemon: Guard,
    _footprint: Guard,
}

impl Docker {
    /// Starts the daemon and prepares `n` containers.
    pub(crate) fn up(scratch: &Scratch, image: &Image, n: usize) -> anyhow::Result<Self> {
        let program = process::find("dockerd").context("dockerd is not installed")?;
        let socket = scratch.path("docker.sock");
        let data_dir = scratch.dir("docker")?;
        let cgroup_parent = format!("/{}-docker", scratch.tag());
        let footprint = remove_what_appears(&FOOTPRINT);
        let mut command = isolated(&program);
        configure(&mut command, scratch, &data_dir)?;
        let cgroups = cgroup_parent.clone();
        let end = move |daemon: &Daemon| {
            daemon.end(PATIENCE);
            remove_cgroups(&cgroups);
        };
        let (daemon, guard) = Daemon::spawn(&mut command, &scratch.path("docker.log"), end)?;
        let mut docker = Self {
            http: wait_until_served(&daemon, &socket)?,
            data_dir,
            cgroup_parent,
            containers: Vec::new(),
            running: None,
            _daemon: guard,
            _footprint: footprint,
        };
        docker.import(image)?;
        for _ in 0..n {
            let container = docker.create_container(image::NAME, image::PROGRAM)?;
            docker.containers.push(container);
        }
        Ok(docker)
    }

    fn import(&mut self, image: &Image) -> anyhow::Result<()> {
        let tarball = std::fs::read(&image.tarball)
            .with_context(|| format!("cannot read {}", image.tarball.display()))?;
        let (repo, tag) = image::NAME.split_once(':').context("an image has a tag")?;
        let path = format!("/v1.41/images/create?fromSrc=-&repo={repo}&tag={tag}");
        self.http.request("POST", &path, "application/x-tar", &tarball)?.good().map(drop)
    }

    fn create_container(&mut self, image: &str, program: &str) -> anyhow::Result<String> {
        let body = json!({
            "Image": image,
            "Cmd": [program],
            "StopSignal": "SIGKILL",
            "HostConfig": { "NetworkMode": "none", "CgroupParent": self.cgroup_parent },
        });
        let made = self.http.json("POST", "/containers/create", &body.to_string())?.good()?;
        let id = made.value()?["Id"].as_str().map(str::to_owned);
        id.context("the new container has no id")
    }

    fn start_container(&mut self, id: &str) -> anyhow::Result<()> {
        self.http.json("POST", &format!("/containers/{id}/start"), "")?.good().map(drop)
    }

    /// Kills a container; returns when it is gone.
    fn kill(&mut self, id: &str) -> anyhow::Result<()> {
        self.http.json("POST", &format!("/containers/{id}/kill"), "")?.good()?;
        self.http.json("POST", &format!("/containers/{id}/wait"), "")?.good().map(drop)
    }
}

/// A command whose mounts are its own, so that they end with it.
fn isolated(program: &std::path::Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "slave", "--"]).arg(program);
    command
}

/// No bridge, no firewall, no forwarding: the host's network stays as it is.
fn configure(command: &mut Command, scratch: &Scratch, data_dir: &PathBuf) -> anyhow::Result<()> {
    let config = scratch.path("docker.json");
    std::fs::write(&config, "{}").with_context(|| format!("cannot write {}", config.display()))?;
    command
        .args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"])
        .args(["--bridge=none", "--userland-proxy=false", "--config-file"])
        .arg(config)
        .arg("--data-root")
        .arg(data_dir)
        .arg("--exec-root")
        .arg(scratch.dir("docker-run")?)
        .arg("--pidfile")
        .arg(scratch.path("docker.pid"))
        .arg("-H")
        .arg(format!("unix://{}", scratch.path("docker.sock").display()));
    Ok(())
}

fn wait_until_served(daemon: &Daemon, socket: &std::path::Path) -> anyhow::Result<Http> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !daemon.has_ended() {
        let answer = Http::unix(socket).and_then(|mut http| {
            http.json("GET", "/_ping", "")?.good()?;
            Ok(http)
        });
        if let Ok(http) = answer {
            return Ok(http);
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    bail!("dockerd does not come up")
}

impl Starts for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn start(&mut self, round: usize) -> anyhow::Result<f64> {
        let id = self.containers[round % self.containers.len()].clone();
        let asked_ns = now_ns();
        self.start_container(&id)?;
        let log = self.data_dir.join(format!("containers/{id}/{id}-json.log"));
        self.running = Some(id);
        Ok(ms_between(asked_ns, stamp::wait_in_log(&log, asked_ns)?))
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let id = self.running.take().context("no container runs")?;
        self.kill(&id)
    }
}

impl Creates for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn create(&mut self) -> anyhow::Result<f64> {
        let asked_ns = now_ns();
        let id = self.create_container(image::NAME, image::PROGRAM)?;
        self.start_container(&id)?;
        let started_ns = now_ns();
        self.running = Some(id);
        Ok(ms_between(asked_ns, started_ns))
    }

    fn destroy(&mut self) -> anyhow::Result<()> {
        let id = self.running.take().context("no container runs")?;
        self.http.json("DELETE", &format!("/containers/{id}?force=true"), "")?.good().map(drop)
    }
}
