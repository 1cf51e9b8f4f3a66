//! `dormouse up`: the supervisor, in the foreground.

use crate::args::Global;
use clap::Args;
use daemon::UpOptions;
use daemon::options::LISTEN;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// What an instance is told at its start.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Address of the API; port 0 takes a free one
    #[arg(long, default_value = LISTEN, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Machines may reach beyond the host, by NAT
    #[arg(long)]
    egress: bool,
    /// Region that this host answers for
    #[arg(long, default_value = api::contract::host::REGION)]
    region: String,
    /// The `dormouse-shim` program; beside this one by default
    #[arg(long, value_name = "FILE", hide = true)]
    shim: Option<PathBuf>,
    /// The `dormouse-init` program; beside this one by default
    #[arg(long, value_name = "FILE", hide = true)]
    init: Option<PathBuf>,
    /// File with the id of the host's boot
    #[arg(long, value_name = "FILE", hide = true)]
    boot_id_file: Option<PathBuf>,
    /// Slots kept ready: fewest and most
    #[arg(long, value_name = "N,N", hide = true, value_parser = two_numbers)]
    slots_ready: Option<(u16, u16)>,
}

fn two_numbers(text: &str) -> Result<(u16, u16), String> {
    let pair = text.split_once(',').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    pair.filter(|(fewest, most)| fewest <= most).ok_or_else(|| "expected e.g. `4,8`".to_owned())
}

impl UpArgs {
    /// As the daemon takes them.
    pub(super) fn options(&self, global: &Global) -> UpOptions {
        let default = UpOptions::new(global.data_dir.clone());
        UpOptions {
            listen: self.listen,
            egress: self.egress,
            region: self.region.clone(),
            shim: self.shim.clone(),
            init: self.init.clone(),
            boot_id_file: self.boot_id_file.clone().unwrap_or(default.boot_id_file),
            slots_ready: self.slots_ready.unwrap_or(default.slots_ready),
            data_dir: default.data_dir,
        }
    }
}

pub(super) fn up(global: &Global, args: &UpArgs) -> anyhow::Result<ExitCode> {
    daemon::supervisor::up(&args.options(global))?;
    Ok(ExitCode::SUCCESS)
}
