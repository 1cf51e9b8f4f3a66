//! The proxy's life: it waits for control to have made the instance, and then keeps the doors.

use crate::endpoint::Endpoint;
use crate::options::UpOptions;
use crate::{host, logging, supervisor};
use anyhow::Context as _;
use proxy::{Ground, ProxyOptions};
use std::path::PathBuf;
use std::time::Duration;

/// Pause between two looks for control, at the start only.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// File of the data directory with the last good routes.
const ROUTES_FILE: &str = "routes.json";

/// Runs the proxy until SIGTERM, or until its successor has its doors.
///
/// It begins when control of the same supervisor has begun: a second instance that finds the data
/// directory in use must not take over the doors of the first.
///
/// # Errors
/// What the host refused at the start.
pub fn run(options: &UpOptions) -> anyhow::Result<()> {
    logging::begin();
    host::raise_open_files();
    let endpoint = wait_for_control(options)?;
    let options = ProxyOptions {
        ground: Ground::Router,
        runtime_dir: endpoint.runtime_dir,
        routes_file: routes_file(options),
        listen: options.proxy.listen,
        region: options.region.clone(),
        drain: proxy::options::DRAIN_DEFAULT,
    };
    proxy::run(&options).context("the proxy ended")
}

fn routes_file(options: &UpOptions) -> PathBuf {
    options.data_dir.join(ROUTES_FILE)
}

/// The endpoint that a control of this process' supervisor has written.
///
/// Control makes the router before it writes the file. Still both are looked for: after a reboot the
/// file of the last boot is there, and its supervisor may have had the same number.
fn wait_for_control(options: &UpOptions) -> anyhow::Result<Endpoint> {
    let supervisor = supervisor::of_this_process();
    let is_ours =
        |endpoint: &Endpoint| supervisor.is_none() || endpoint.supervisor_pid == supervisor;
    loop {
        if let Some(endpoint) = Endpoint::read(&options.data_dir).ok().filter(is_ours)
            && net::router::exists(&endpoint.runtime_dir).context("cannot look for the router")?
        {
            return Ok(endpoint);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
