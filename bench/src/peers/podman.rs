//! `podman`, which has no daemon: each call is a process.

pub(crate) mod pull;

use super::{Creates, Starts};
use crate::cleanup::{self, Guard};
use crate::clock::{ms_between, now_ns};
use crate::host::remove_cgroups;
use crate::image::{self, Image};
use crate::process;
use crate::scratch::{Scratch, remove_what_appears};
use crate::{stamp, words};
use anyhow::{Context as _, ensure};
use rustix::mount::{UnmountFlags, unmount};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Longest wait for the process that watches a container, and cleans up after it, to end.
const CLEANUP_MAX: Duration = Duration::from_secs(10);

/// What it leaves outside its own directories, innermost first.
const FOOTPRINT: [&str; 7] = [
    "/etc/cni/net.d/cni.lock",
    "/run/runc",
    "/var/cache/containers/short-name-aliases.conf.lock",
    "/var/cache/containers",
    "/var/lib/containers/cache/blob-info-cache-v1.boltdb",
    "/var/lib/containers/cache",
    "/var/lib/containers",
];

/// Directories of our own, with prepared containers.
pub(crate) struct Podman {
    home: Home,
    containers: Vec<String>,
    n_made: usize,
    running: Option<String>,
    _containers: Guard,
    _footprint: Guard,
}

/// Where it keeps everything.
#[derive(Clone, Debug)]
struct Home {
    program: PathBuf,
    dir: PathBuf,
    cgroup_parent: String,
}

impl Podman {
    /// Imports the image and prepares `n` containers.
    pub(crate) fn up(scratch: &Scratch, image: &Image, n: usize) -> anyhow::Result<Self> {
        let program = process::find("podman").context("podman is not installed")?;
        let cgroup_parent = format!("/{}-podman", scratch.tag());
        let home = Home { program, dir: scratch.dir("podman")?, cgroup_parent };
        let footprint = remove_what_appears(&FOOTPRINT);
        let guard = {
            let home = home.clone();
            cleanup::at_end(move || home.remove())
        };
        process::run(home.command().arg("import").arg(&image.tarball).arg(image::NAME))?;
        let mut podman = Self {
            home,
            containers: Vec::new(),
            n_made: 0,
            running: None,
            _containers: guard,
            _footprint: footprint,
        };
        for _ in 0..n {
            let container = podman.create_container(image::NAME, image::PROGRAM)?;
            podman.containers.push(container);
        }
        Ok(podman)
    }

    /// Makes a container; the image is pulled if it is not there.
    fn create_container(&mut self, image: &str, program: &str) -> anyhow::Result<String> {
        let name = format!("c{}", self.n_made);
        self.n_made += 1;
        let mut create = self.home.command();
        create
            .args(["create", "--quiet", "--tls-verify=false", "--name", &name])
            .args(["--network", "none", "--log-driver", "k8s-file"])
            .arg("--log-opt")
            .arg(format!("path={}", self.home.log(&name).display()))
            .arg("--conmon-pidfile")
            .arg(self.home.watcher_file(&name))
            .args(["--cgroup-parent", &self.home.cgroup_parent])
            // Raising limits needs a capability that this host may lack.
            .args(["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"])
            .args([image, program]);
        process::run(&mut create)?;
        Ok(name)
    }

    /// Kills the container's program; returns when its watcher has cleaned up, because that work
    /// would disturb whoever is measured next.
    fn kill(&self, name: &str) -> anyhow::Result<()> {
        let file = self.home.watcher_file(name);
        let pid = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let pid = pid.trim().parse().with_context(|| format!("`{pid}` is no process"))?;
        process::run(self.home.command().args(["kill", "-s", "KILL", name]))?;
        ensure!(process::wait_for_end(pid, CLEANUP_MAX), "the watcher of {name} does not end");
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
    }
}

impl Home {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            // Layers on their way; what is interrupted leaves them.
            .env("TMPDIR", &self.dir)
            .arg("--root")
            .arg(self.dir.join("root"))
            .arg("--runroot")
            .arg(self.dir.join("run"))
            .arg("--tmpdir")
            .arg(self.dir.join("tmp"))
            .args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"])
            .args(["--events-backend", "none"]);
        command
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    fn watcher_file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.watcher"))
    }

    /// Watchers clean up after their containers, and mount things for it: not after us.
    fn wait_for_watchers(&self) {
        let files = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for file in files.filter(|file| file.path().extension().is_some_and(|e| e == "watcher")) {
            let pid = std::fs::read_to_string(file.path()).unwrap_or_default();
            let has_ended =
                pid.trim().parse().map_or(true, |pid| process::wait_for_end(pid, CLEANUP_MAX));
            if !has_ended {
                words::tell(&format!("warning: podman's watcher {} goes on", pid.trim()));
            }
        }
    }

    fn remove(&self) {
        if let Err(error) =
            process::run_at_end(self.command().args(["rm", "--all", "--force", "-t", "0"]))
        {
            words::tell(&format!("warning: podman's containers are left behind: {error:#}"));
        }
        self.wait_for_watchers();
        // It binds its overlay directory onto itself; without containers there may be no mount.
        let _not_mounted = unmount(self.dir.join("root/overlay"), UnmountFlags::DETACH);
        remove_cgroups(&self.cgroup_parent);
    }
}

impl Starts for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn start(&mut self, round: usize) -> anyhow::Result<f64> {
        let name = self.containers[round % self.containers.len()].clone();
        let asked_ns = now_ns();
        process::run(self.home.command().args(["start", &name]))?;
        let log = self.home.log(&name);
        self.running = Some(name);
        Ok(ms_between(asked_ns, stamp::wait_in_log(&log, asked_ns)?))
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        let name = self.running.take().context("no container runs")?;
        self.kill(&name)
    }
}

impl Creates for Podman {
    fn name(&self) -> &'static str {
        "podman"
    }

    fn create(&mut self) -> anyhow::Result<f64> {
        let asked_ns = now_ns();
        let name = self.create_container(image::NAME, image::PROGRAM)?;
        process::run(self.home.command().args(["start", &name]))?;
        let started_ns = now_ns();
        self.running = Some(name);
        Ok(ms_between(asked_ns, started_ns))
    }

    fn destroy(&mut self) -> anyhow::Result<()> {
        let name = self.running.take().context("no container runs")?;
        self.kill(&name)?;
        process::run(self.home.command().args(["rm", "--force", &name])).map(drop)
    }
}
