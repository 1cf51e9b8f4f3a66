//! The least that makes `docker` wake a container for a visitor: a listener that asks for a start,
//! connects as soon as it can, and passes bytes on.
//!
//! The web server listens in the host's network: neither a bridge nor address translation has to be
//! set up, which is a start that Docker's users get only when they ask for it.

use super::Docker;
use crate::http::{self, Http};
use crate::image::{self, Image};
use crate::peers::Wakes;
use crate::scratch::Scratch;
use crate::words;
use anyhow::{Context as _, bail};
use serde_json::json;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Pause before another try while nobody listens in the container yet.
const DIAL_PAUSE: Duration = Duration::from_micros(500);

/// Longest wait for somebody to listen.
const DIAL_MAX: Duration = Duration::from_secs(20);

/// Containers with a web server, each behind a proxy that wakes it.
pub(crate) struct DockerWake {
    docker: Docker,
    /// Container, and where its visitors come in.
    doors: Vec<(String, SocketAddr)>,
    running: Option<String>,
}

impl DockerWake {
    /// Starts the daemon, prepares `n` containers and their proxies, and visits each once.
    pub(crate) fn up(scratch: &Scratch, image: &Image, n: usize) -> anyhow::Result<Self> {
        let mut docker = Docker::up(scratch, image, 0)?;
        let socket = scratch.path("docker.sock");
        let mut doors = Vec::with_capacity(n);
        for _ in 0..n {
            let inside = free_address()?;
            let container = docker.create_web(inside)?;
            let door = WakeProxy { container: container.clone(), inside, docker: socket.clone() };
            doors.push((container, door.spawn()?));
        }
        let mut own = Self { docker, doors, running: None };
        for round in 0..n {
            own.knock(round)?;
            own.rest()?;
        }
        Ok(own)
    }
}

impl Docker {
    fn create_web(&mut self, at: SocketAddr) -> anyhow::Result<String> {
        let body = json!({
            "Image": image::NAME,
            "Cmd": [image::WEB, at.to_string()],
            "StopSignal": "SIGKILL",
            "HostConfig": { "NetworkMode": "host", "CgroupParent": self.cgroup_parent },
        });
        let made = self.http.json("POST", "/containers/create", &body.to_string())?.good()?;
        let id = made.value()?["Id"].as_str().map(str::to_owned);
        id.context("the new container has no id")
    }
}

impl Wakes for DockerWake {
    fn name(&self) -> &'static str {
        "docker_wake"
    }

    fn knock(&mut self, round: usize) -> anyhow::Result<f64> {
        let (container, door) = self.doors[round % self.doors.len()].clone();
        self.running = Some(container);
        Ok(http::visit(door, "localhost")?.0)
    }

    fn rest(&mut self) -> anyhow::Result<()> {
        self.docker.kill(&self.running.take().context("no container runs")?)
    }
}

/// One listener for one container; ends with this process.
struct WakeProxy {
    container: String,
    inside: SocketAddr,
    docker: PathBuf,
}

impl WakeProxy {
    /// Begins to listen; returns where.
    fn spawn(self) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
        let door = listener.local_addr().context("a listener has an address")?;
        let serve = move || {
            for visitor in listener.incoming() {
                if let Err(error) = visitor.map_err(Into::into).and_then(|it| self.let_in(&it)) {
                    words::tell(&format!("warning: the proxy before docker: {error:#}"));
                }
            }
        };
        std::thread::Builder::new().name("wake-proxy".to_owned()).spawn(serve)?;
        Ok(door)
    }

    fn let_in(&self, visitor: &TcpStream) -> anyhow::Result<()> {
        visitor.set_nodelay(true)?;
        start(&self.docker, &self.container)?;
        let backend = dial(self.inside)?;
        std::thread::scope(|scope| {
            scope.spawn(|| pass(visitor, &backend));
            pass(&backend, visitor);
        });
        Ok(())
    }
}

/// A container that runs already is as good.
fn start(docker: &Path, container: &str) -> anyhow::Result<()> {
    let mut http = Http::unix(docker)?;
    let reply = http.json("POST", &format!("/containers/{container}/start"), "")?;
    if reply.is_unchanged() { Ok(()) } else { reply.good().map(drop) }
}

fn dial(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let deadline = Instant::now() + DIAL_MAX;
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {
                return Err(error.into());
            }
            Err(_) if Instant::now() >= deadline => bail!("nobody listens at {address}"),
            Err(_) => std::thread::sleep(DIAL_PAUSE),
        }
    }
}

/// Passes bytes on until there are no more, or nobody takes them.
fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let _either_end = io::copy(&mut from, &mut to);
    let _is_gone = to.shutdown(Shutdown::Write);
    let _is_gone = from.shutdown(Shutdown::Read);
}

/// An address of the loopback that nobody uses now.
fn free_address() -> anyhow::Result<SocketAddr> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    probe.local_addr().context("a listener has an address")
}
