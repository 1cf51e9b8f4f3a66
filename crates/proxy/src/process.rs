//! The process: its threads, its namespaces, its beginning and its end.
//!
//! ```text
//! main thread ── starts ──► binder thread: stays in the host's network namespace
//!      │
//!      └─ enters the router namespace ─► runtime threads: born there
//!                                     └► a lane for each CPU: visitors
//! ```

pub(crate) mod binder;
pub(crate) mod handover;
pub(crate) mod lanes;
mod orders;
mod register;

use crate::control_link;
use crate::desk::Desk;
use crate::error::ProxyError;
use crate::options::{Ground, ProxyOptions};
use crate::persist::Keeper;
use crate::visit::door::Doors;
use crate::visit::drain::Drain;
use crate::{checks, dns_zone, persist};
use binder::Binder;
use lanes::Lanes;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

pub use register::living;

/// Worker threads of the runtime for everything but visitors, who have [`lanes`].
const WORKERS: usize = 2;

/// How long a process whose doors another one has may serve who came in before: its WebSockets and
/// raw connections are in nobody's way.
const REPLACED_MAX: Duration = Duration::from_secs(600);

/// Longest wait for threads at the very end.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

/// Runs the proxy until SIGTERM or SIGINT, or until another one has taken its doors over; what is
/// under way is finished first. After SIGHUP it waits for another one, for a while.
///
/// Call it on the main thread while there is no other: it enters a namespace.
///
/// # Errors
/// [`ProxyError`], only at the start: later nothing ends the process but its orders.
pub fn run(options: &ProxyOptions) -> Result<(), ProxyError> {
    let _entry = register::enter(&options.runtime_dir)?;
    run_until(options, orders::heard)
}

/// The same, until `stop` returns.
///
/// # Errors
/// As [`run`].
pub fn run_until<F>(
    options: &ProxyOptions,
    stop: impl FnOnce() -> F + Send,
) -> Result<(), ProxyError>
where
    F: Future<Output = io::Result<()>> + Send,
{
    let binder = Binder::start()?;
    enter(options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(ProxyError::host("start the runtime"))?;
    let result = runtime.block_on(serve(options, binder, stop));
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    result
}

fn enter(options: &ProxyOptions) -> Result<(), ProxyError> {
    match &options.ground {
        Ground::Here => Ok(()),
        Ground::Namespace(path) => {
            let file = File::open(path).map_err(ProxyError::path("open the namespace", path))?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(io::Error::from)
                .map_err(ProxyError::path("enter the network namespace", path))
        }
        Ground::Router => Ok(net::router::enter(&options.runtime_dir)?),
    }
}

async fn serve<F>(
    options: &ProxyOptions,
    binder: Binder,
    stop: impl FnOnce() -> F,
) -> Result<(), ProxyError>
where
    F: Future<Output = io::Result<()>>,
{
    let mut stop = std::pin::pin!(stop());
    let desk = Desk::new(&options.region, seed());
    let before = handover::take(&options.handover_socket()).await;
    let (inherited, predecessor) = before.map_or_else(Default::default, handover::Taken::split);
    persist::load(&options.routes_file, &desk).await?;
    let drain = Drain::new();
    let lanes = Lanes::open()?;
    let doors = Doors::new(desk.clone(), binder.clone(), lanes, options.listen, drain.token());
    let doors = Arc::new(doors);
    doors.adopt(inherited);

    let (mut tasks, mut while_open) = (JoinSet::new(), JoinSet::new());
    if options.ground == Ground::Router {
        let drain = drain.token();
        tasks.spawn(dns_zone::keep(desk.clone(), Arc::clone(&doors), binder, drain));
    }
    let (handed_over, mut is_handed_over) = tokio::sync::oneshot::channel();
    doors.reconcile().await;
    if let Some(predecessor) = predecessor {
        predecessor.dismiss().await;
    }
    let keeper = Arc::new(Keeper::new(desk.clone(), options.routes_file.clone()));
    let offered = (Arc::clone(&doors), Arc::clone(&keeper));
    handover::offer(&options.handover_socket(), offered, handed_over, &mut tasks)?;
    tasks.spawn(Arc::clone(&doors).keep());
    tasks.spawn(control_link::keep(desk.clone(), Arc::clone(&doors), options.control_socket()));
    tasks.spawn(control_link::report_loads(desk.clone()));
    while_open.spawn(keeper.keep());
    while_open.spawn(checks::keep(desk.clone()));
    tracing::info!(routes = %options.routes_file.display(), "doors open");

    let is_replaced = tokio::select! {
        told = &mut stop => told.map(|()| false).map_err(ProxyError::host("hear signals"))?,
        Ok(()) = &mut is_handed_over => true,
    };
    // Another proxy may do these now.
    while_open.shutdown().await;
    doors.close();
    drain.begin();
    let mut is_empty = false;
    if is_replaced {
        tracing::info!("another proxy has the doors now");
        is_empty = tokio::select! {
            is_empty = doors.wait_empty(REPLACED_MAX) => is_empty,
            told = &mut stop => told.map(|()| false).map_err(ProxyError::host("hear signals"))?,
        };
    }
    is_empty = is_empty || doors.wait_empty(options.drain).await;
    tracing::info!(is_empty, "ends");
    tasks.abort_all();
    Ok(())
}

/// Chance for choices among equals; without any the choices are the same each time.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => u64::from(std::process::id()),
    }
}
