//! Control's life, from its first line to its last.

use crate::endpoint::{Endpoint, OWNER_TOKEN_FILE, write_private};
use crate::{host, logging};
use crate::options::{RUNTIME_ROOT, UpOptions};
use anyhow::Context as _;
use api::Server;
use control::{Control, ControlConfig, Parts};
use net::instance::InstanceNamespaces;
use net::router::{Egress, RouterConfig};
use rustix::fs::{AtFlags, StatxFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use store::{Store, TokenReach, TokenRight, TokenScope};

/// Worker threads of the runtime. Two cores are the smallest host we promise anything for.
const WORKERS: usize = 2;

/// Runs control until SIGTERM; machines go on running.
///
/// # Errors
/// What the host or the store refused, with all its causes.
pub fn run(options: &UpOptions) -> anyhow::Result<()> {
    logging::begin();
    host::raise_open_files();
    let listener = inherited_listener(options)?;
    let store = Store::open(&options.data_dir)
        .with_context(|| format!("cannot open the store in {}", options.data_dir.display()))?;
    let data_dir = options.data_dir.canonicalize().context("the data directory is gone")?;
    let runtime_dir = Path::new(RUNTIME_ROOT).join(store.instance().as_str());
    let (shim_path, init_path) = (options.shim_path()?, options.init_path()?);
    // From here on this thread, and every thread it starts, lives in the instance's mount namespace.
    let namespaces = net::instance::enter(&runtime_dir).context("cannot enter the instance")?;
    let init_path = show_init(&namespaces, &init_path)?;
    let config = ControlConfig {
        data_dir: data_dir.clone(),
        runtime_dir: namespaces.runtime_dir().to_path_buf(),
        shim_path,
        init_path,
        boot: host::boot_id(&options.boot_id_file)?,
        host_ram_mib: host::ram_mib()?,
        host_cpus: host::n_cpus(),
        region: options.region.clone(),
    };
    let egress = if options.egress { Egress::Nat } else { Egress::Off };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let parts = Parts {
        config,
        store: store.clone(),
        namespaces,
        router: RouterConfig { egress, ..RouterConfig::default() },
        slots_ready: options.slots_ready,
    };
    let result = runtime.block_on(serve(parts, listener, data_dir, runtime_dir));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    store.close().context("cannot close the store")?;
    result
}

async fn serve(
    parts: Parts,
    listener: TcpListener,
    data_dir: PathBuf,
    runtime_dir: PathBuf,
) -> anyhow::Result<()> {
    let instance = parts.store.instance().to_string();
    let control = tokio::task::block_in_place(|| Control::open(parts))
        .map_err(|error| anyhow::Error::new(error).context("cannot open control"))?;
    let server = Server::new(control.clone());
    let for_guests = server.clone();
    control.serve_guests(Box::new(move |machine, io| {
        let server = for_guests.clone();
        tokio::spawn(async move { server.serve_guest(io, machine).await });
    }));
    control.recover().await.context("cannot recover")?;
    ensure_owner_token(&control, &data_dir).await?;

    let unix_path = runtime_dir.join("api.sock");
    let unix = listen_unix(&unix_path)?;
    let endpoint = Endpoint {
        unix: unix_path,
        tcp: listener.local_addr().context("the listening socket has no address")?,
        runtime_dir,
        instance,
        control_pid: std::process::id(),
        supervisor_pid: std::env::var("DORMOUSE_SUPERVISOR_PID").ok().and_then(|t| t.parse().ok()),
    };
    listener.set_nonblocking(true).context("cannot use the listening socket")?;
    let tcp = tokio::net::TcpListener::from_std(listener)?;
    endpoint.write(&data_dir)?;
    tracing::info!(tcp = %endpoint.tcp, unix = %endpoint.unix.display(), "listening");
    tokio::select! {
        () = server.serve_tcp(tcp) => {}
        () = server.serve_unix(unix) => {}
        ended = told_to_end() => ended?,
    }
    Ok(())
}

async fn told_to_end() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    tracing::info!("told to end; machines go on running");
    Ok(())
}

/// The socket the supervisor bound, handed over as standard input; without one, a new socket.
fn inherited_listener(options: &UpOptions) -> anyhow::Result<TcpListener> {
    let stdin = std::io::stdin();
    let is_socket = rustix::net::sockopt::socket_acceptconn(stdin.as_fd()).unwrap_or(false);
    if is_socket {
        let fd: OwnedFd = stdin.as_fd().try_clone_to_owned().context("cannot take the socket")?;
        return Ok(TcpListener::from(fd));
    }
    TcpListener::bind(options.listen).with_context(|| format!("cannot listen on {}", options.listen))
}

fn listen_unix(path: &Path) -> anyhow::Result<tokio::net::UnixListener> {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("cannot replace {}", path.display()));
    }
    tokio::net::UnixListener::bind(path)
        .with_context(|| format!("cannot listen on {}", path.display()))
}

/// The first start writes a token that may do everything, readable by its user only.
async fn ensure_owner_token(control: &Control, data_dir: &Path) -> anyhow::Result<()> {
    let path = data_dir.join(OWNER_TOKEN_FILE);
    if path.exists() {
        return Ok(());
    }
    let scope = TokenScope { reach: TokenReach::All, right: TokenRight::Operate };
    let (_, secret) = control.create_token("owner".to_owned(), scope, None).await?;
    write_private(&path, secret.as_bytes())
}

/// Shows the guest init through a read-only mount, so that `/proc/1/exe` of a guest can never be
/// written. A daemon of another build brings its own init.
fn show_init(namespaces: &InstanceNamespaces, init: &Path) -> anyhow::Result<PathBuf> {
    let target = namespaces.pins().join("init");
    if is_same_file(init, &target) {
        return Ok(target);
    }
    let show = || -> std::io::Result<()> {
        if target.exists() {
            // Running machines keep the old one; nothing is mounted at the very first start.
            rustix::mount::unmount(&target, UnmountFlags::DETACH).unwrap_or_default();
        } else {
            fs::File::create(&target)?;
        }
        rustix::mount::mount_bind(init, &target)?;
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount_remount(&target, flags, "")?;
        Ok(())
    };
    show().with_context(|| format!("cannot show {} to guests", init.display()))?;
    Ok(target)
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| {
        rustix::fs::statx(rustix::fs::CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS)
            .map(|stat| (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino))
    };
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}
