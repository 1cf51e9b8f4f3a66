//! `nginx` as a proxy before one machine, with what its manual advises for speed.

use crate::cleanup::Guard;
use crate::process::{self, Daemon};
use crate::scratch::Scratch;
use anyhow::{Context as _, bail};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::{set_socket_reuseaddr, set_socket_reuseport};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for it to serve, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two looks while it comes up; nothing is measured then.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Connections that may wait to be accepted. Its own default is 511.
const BACKLOG: i32 = 511;

/// A proxy of its own.
#[derive(Debug)]
pub(crate) struct Nginx {
    address: SocketAddr,
    daemon: Daemon,
    _guard: Guard,
}

impl Nginx {
    /// Starts it in the network namespace `router`, from where it reaches `machine`; visitors come in
    /// on the loopback of the host.
    ///
    /// It takes over sockets that are made here, as it would those of an older `nginx` at an upgrade:
    /// one for each worker, among which the kernel spreads visitors evenly.
    pub(crate) fn up(
        scratch: &Scratch,
        router: &Path,
        machine: SocketAddr,
    ) -> anyhow::Result<Self> {
        let program = process::find("nginx").context("nginx is not installed")?;
        let n_workers = std::thread::available_parallelism().context("cannot count CPUs")?.get();
        let (address, sockets) = sockets(n_workers).context("cannot listen")?;
        let dir = scratch.dir("nginx")?;
        let config = dir.join("nginx.conf");
        std::fs::write(&config, configuration(&dir, n_workers, address, machine))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let handed: String = sockets.iter().map(|fd| format!("{};", fd.as_raw_fd())).collect();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", router.display())).arg("--").arg(program);
        command.arg("-p").arg(&dir).arg("-c").arg(&config).env("NGINX", handed);
        let end = |daemon: &Daemon| daemon.end(PATIENCE);
        let log = dir.join("log");
        let (daemon, guard) = Daemon::spawn(&mut command, &log, end)?;
        drop(sockets);
        wait_until_served(&daemon, address, &log)?;
        Ok(Self { address, daemon, _guard: guard })
    }

    /// The parent of its workers.
    pub(crate) fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Where visitors come in.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listening sockets with one address, which a program that is started inherits.
fn sockets(n: usize) -> anyhow::Result<(SocketAddr, Vec<OwnedFd>)> {
    let mut address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let mut sockets = Vec::with_capacity(n);
    for _ in 0..n {
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_reuseaddr(&socket, true)?;
        set_socket_reuseport(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        // The first one chooses the port.
        address = getsockname(&socket)?.try_into()?;
        fcntl_setfd(&socket, FdFlags::empty())?;
        sockets.push(socket);
    }
    Ok((address.into(), sockets))
}

fn configuration(dir: &Path, n_workers: usize, address: SocketAddr, machine: SocketAddr) -> String {
    let dir = dir.display();
    format!(
        "user root;
daemon off;
worker_processes {n_workers};
pid {dir}/pid;
error_log {dir}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {dir}/access.log;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/client;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream machine {{
        server {machine};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {address} reuseport;
        location / {{
            proxy_pass http://machine;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"
    )
}

fn wait_until_served(daemon: &Daemon, address: SocketAddr, log: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !daemon.has_ended() {
        if crate::http::visit(address, "localhost").is_ok() {
            return Ok(());
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    let said = std::fs::read_to_string(log).unwrap_or_default();
    bail!("nginx does not come up: {}", said.trim())
}
