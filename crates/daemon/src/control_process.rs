//! Control's life, from its first line to its last.

use crate::endpoint::{Endpoint, OWNER_TOKEN_FILE, write_private};
use crate::options::{RUNTIME_ROOT, UpOptions};
use crate::{host, logging, supervisor};
use anyhow::Context as _;
use api::Server;
use control::{Control, ControlConfig, Parts};
use net::instance::InstanceNamespaces;
use net::router::{Egress, RouterConfig};
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use store::{Store, StoreError, TokenReach, TokenRight, TokenScope};

/// Worker threads of the runtime. Two cores are the smallest host we promise anything for.
const WORKERS: usize = 2;

/// Longest wait for the lock of a control that has died; a fork needs milliseconds to its exec, more
/// on a busy host.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);

/// Pause between two looks at the lock.
const LOCK_WAIT_STEP: Duration = Duration::from_millis(10);

/// Exit code of a control process that must not be started again: the reason will not go away.
/// Source: `EX_CONFIG` of sysexits.h.
pub const EXIT_FOR_GOOD: u8 = 78;

/// Whether starting control again cannot help: another daemon has the directory, or it is not ours
/// to read. Its process then ends with [`EXIT_FOR_GOOD`].
#[must_use]
pub fn is_for_good(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<StoreError>()).any(|cause| {
        matches!(
            cause,
            StoreError::InUse { .. }
                | StoreError::NewerSchema { .. }
                | StoreError::NotAStore { .. }
        )
    })
}

/// The guest init, and the tool for programs in machines, as they lie in the file system that shows
/// them; the engine mounts the directory of the tool.
const GUEST_PROGRAMS: [&str; 2] = ["dormouse-init", "bin/dm"];

/// Size of the file system that holds these two: five times what they need.
const INIT_TMPFS_OPTIONS: &std::ffi::CStr = c"size=16m,nr_inodes=16,mode=755";

/// Runs control until SIGTERM; machines go on running.
///
/// # Errors
/// What the host or the store refused, with all its causes.
pub fn run(options: &UpOptions) -> anyhow::Result<()> {
    logging::begin();
    host::raise_open_files();
    host::load_file_systems();
    let listener = inherited_listener(options)?;
    let store = open_store(&options.data_dir)?;
    let data_dir = options.data_dir.canonicalize().context("the data directory is gone")?;
    let runtime_dir = Path::new(RUNTIME_ROOT).join(store.instance().as_str());
    let (shim_path, init_path) = (options.shim_path()?, options.init_path()?);
    // From here on this thread, and every thread it starts, lives in the instance's mount namespace.
    let namespaces = net::instance::enter(&runtime_dir).context("cannot enter the instance")?;
    let init_path = show_programs(&namespaces, &init_path)?;
    let config = ControlConfig {
        data_dir: data_dir.clone(),
        runtime_dir: namespaces.runtime_dir().to_path_buf(),
        shim_path,
        init_path,
        boot: host::boot_id(&options.boot_id_file)?,
        host_ram_mib: host::ram_mib()?,
        host_cpus: host::n_cpus(),
        region: options.region.clone(),
        vm: options.vm_config(),
        door_address: options.proxy.is_on.then(|| host::shown_address(options.proxy.listen)),
    };
    let egress = if options.egress { Egress::Nat } else { Egress::Off };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let images = options.images.settings()?;
    let parts = Parts {
        config,
        store: store.clone(),
        namespaces,
        router: RouterConfig { egress, ..RouterConfig::default() },
        slots_ready: options.slots_ready,
        vms_ready: options.vms_ready,
        notify: options.notify_settings(&images)?,
        images,
    };
    let (rate_limit, places) = (options.rate_limit, (data_dir, runtime_dir));
    let result = runtime.block_on(serve(parts, listener, places, rate_limit));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let closed = store.close().context("cannot close the store");
    // Of two errors the first says more: the second is often its consequence.
    result.and(closed)
}

/// Opens the store. A control that has just died may still seem to hold it: a child that it forked
/// shares the lock until the child runs its own program.
fn open_store(data_dir: &Path) -> anyhow::Result<Store> {
    let since = Instant::now();
    let mut has_ballast = true;
    let opened = loop {
        match Store::open(data_dir) {
            Err(StoreError::InUse { .. }) if since.elapsed() < LOCK_WAIT_MAX => {
                std::thread::sleep(LOCK_WAIT_STEP);
            }
            // It has the lock already, so the ballast is its own to give back.
            Err(StoreError::DiskFull) if has_ballast => {
                disk::ballast::release(data_dir).context("cannot give the ballast back")?;
                has_ballast = false;
            }
            opened => break opened,
        }
    };
    opened.with_context(|| format!("cannot open the store in {}", data_dir.display()))
}

async fn serve(
    parts: Parts,
    listener: TcpListener,
    (data_dir, runtime_dir): (PathBuf, PathBuf),
    rate_limit: Option<NonZeroU32>,
) -> anyhow::Result<()> {
    let instance = parts.store.instance().to_string();
    let control = tokio::task::block_in_place(|| Control::open(parts))
        .map_err(|error| anyhow::Error::new(error).context("cannot open control"))?;
    let server = Server::new(control.clone());
    let server = match rate_limit {
        Some(factor) => server.with_rate_limits(factor),
        None => server,
    };
    let for_guests = server.clone();
    control.serve_guests(Box::new(move |machine, io| {
        let server = for_guests.clone();
        tokio::spawn(async move { server.serve_guest(io, machine).await });
    }));
    control.recover().await.context("cannot recover")?;
    ensure_owner_token(&control, &data_dir).await?;

    let for_proxy = runtime_dir.join(control::PROXY_SOCKET_FILE);
    let for_proxy = control::listen_for_proxy(&for_proxy)
        .with_context(|| format!("cannot listen on {}", for_proxy.display()))?;
    control.serve_proxy(for_proxy);
    let for_machines = control.listen_for_machines().context("machines cannot call the API")?;
    let unix_path = runtime_dir.join("api.sock");
    let unix = listen_unix(&unix_path)?;
    let endpoint = Endpoint {
        unix: unix_path,
        tcp: listener.local_addr().context("the listening socket has no address")?,
        runtime_dir,
        instance,
        control_pid: std::process::id(),
        supervisor_pid: supervisor::of_this_process(),
    };
    let tcp = in_runtime(listener)?;
    let for_machines = in_runtime(for_machines)?;
    // Before anybody can know of it: who tells it to end from then on is heard.
    let told_to_end = told_to_end()?;
    endpoint.write(&data_dir)?;
    tracing::info!(tcp = %endpoint.tcp, unix = %endpoint.unix.display(), "listening");
    tokio::select! {
        () = server.serve_tcp(tcp) => {}
        () = server.serve_machines(for_machines) => {}
        () = server.serve_unix(unix) => {}
        () = told_to_end => {}
    }
    Ok(())
}

fn in_runtime(listener: TcpListener) -> anyhow::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true).context("cannot use a listening socket")?;
    Ok(tokio::net::TcpListener::from_std(listener)?)
}

/// Listens for a signal to end; what is returned waits for it.
fn told_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tracing::info!("told to end; machines go on running");
    })
}

/// The socket the supervisor bound, handed over as standard input; without one, a new socket.
fn inherited_listener(options: &UpOptions) -> anyhow::Result<TcpListener> {
    let stdin = std::io::stdin();
    let is_socket = rustix::net::sockopt::socket_acceptconn(stdin.as_fd()).unwrap_or(false);
    if is_socket {
        let fd: OwnedFd = stdin.as_fd().try_clone_to_owned().context("cannot take the socket")?;
        return Ok(TcpListener::from(fd));
    }
    TcpListener::bind(options.listen)
        .with_context(|| format!("cannot listen on {}", options.listen))
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

/// Puts what runs in machines where they start from: a small read-only file system in RAM.
///
/// Read-only, so that `/proc/1/exe` of a guest can never be written; in RAM, so that a start never
/// waits for the disk to read it. A daemon of another build brings its own. Returns the path of the
/// guest init there.
fn show_programs(namespaces: &InstanceNamespaces, init: &Path) -> anyhow::Result<PathBuf> {
    let dir = namespaces.runtime_dir().join("init");
    let tool = init.with_file_name("dm");
    let wanted = [read_program(init)?, read_program(&tool)?];
    let shown = GUEST_PROGRAMS.map(|name| dir.join(name));
    let [shown_init, _] = &shown;
    let is_there = |(path, bytes): (&PathBuf, &Vec<u8>)| fs::read(path).is_ok_and(|b| b == *bytes);
    if shown.iter().zip(&wanted).all(is_there) {
        return Ok(shown_init.clone());
    }
    let show = || -> std::io::Result<()> {
        fs::create_dir_all(&dir)?;
        // Running machines keep the old one; nothing is mounted at the very first start.
        rustix::mount::unmount(&dir, UnmountFlags::DETACH).unwrap_or_default();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("dormouse-init", &dir, "tmpfs", flags, INIT_TMPFS_OPTIONS)?;
        fs::create_dir(dir.join("bin"))?;
        fs::set_permissions(dir.join("bin"), fs::Permissions::from_mode(0o755))?;
        for (path, bytes) in shown.iter().zip(&wanted) {
            fs::write(path, bytes)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        rustix::mount::mount_remount(&dir, flags | MountFlags::RDONLY, INIT_TMPFS_OPTIONS)
            .map_err(std::io::Error::from)
    };
    show().with_context(|| format!("cannot show {} to guests", init.display()))?;
    Ok(shown_init.clone())
}

fn read_program(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| {
        format!("cannot read {}: build or install all binaries together", path.display())
    })
}
