//! `dormouse up`: the supervisor, in the foreground.

use crate::args::Global;
use clap::Args;
use control::Accel;
use daemon::options::{ImageOptions, LISTEN};
use daemon::{ProxySettings, UpOptions};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
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
    /// The `dormouse-init` program, with `dm` beside it; beside this one by default
    #[arg(long, value_name = "FILE", hide = true)]
    init: Option<PathBuf>,
    /// Where the kernel of virtual machines lies: a directory with an unpacked package, or `/` for one
    /// that is installed
    #[arg(long, value_name = "DIR", default_value = "/")]
    guest_kernel: PathBuf,
    /// What runs the code of virtual machines: `kvm` is the host's processor, `tcg` emulates one,
    /// several times slower; `auto` is KVM if a guest boots by it, which is tried when the first virtual
    /// machine is created after the host has booted
    #[arg(long, value_name = "auto|kvm|tcg", default_value = "auto", value_parser = accel)]
    accel: Choice,
    /// File with the id of the host's boot
    #[arg(long, value_name = "FILE", hide = true)]
    boot_id_file: Option<PathBuf>,
    /// Slots kept ready: fewest and most
    #[arg(long, value_name = "N,N", hide = true, value_parser = two_numbers)]
    slots_ready: Option<(u16, u16)>,
    /// Virtual machines of each size kept warm for the next start, while there are machines that use
    /// them: fewest and most; `0,0` keeps none. Each takes some 100 MiB of RAM; `1,2` by default
    #[arg(long, value_name = "N,N", value_parser = two_numbers)]
    vms_ready: Option<(u16, u16)>,
    /// Server on this host or in a private network that notifications of machines may reach, from
    /// this host: `host[:port]`, `*.host`; may be repeated
    #[arg(long, value_name = "PATTERN")]
    allow_notify: Vec<String>,
    /// Address on which the ports of services are opened; the loopback by default
    #[arg(long, value_name = "IP")]
    proxy_listen: Option<IpAddr>,
    /// Open no ports for services: nothing is reached from outside, and nothing woken by visitors
    #[arg(long)]
    no_proxy: bool,
    /// Let holders of tokens call FACTOR times as often as the Machines API lets its own, which is
    /// once a second for each action on each machine; as often as they like by default
    #[arg(long, value_name = "FACTOR")]
    rate_limit: Option<NonZeroU32>,
    #[command(flatten)]
    images: ImageArgs,
}

/// What an instance is told about images.
#[derive(Debug, Args)]
struct ImageArgs {
    /// Registry that may be used, for everybody and from the host: `host[:port][/prefix]`, `*.host`;
    /// once given, no other may. May be repeated
    #[arg(long, value_name = "PATTERN")]
    allow_registry: Vec<String>,
    /// Registry whose certificate is not checked, and that is spoken to in plain HTTP when it has no
    /// TLS, `host[:port]`; may be repeated. Whoever is on the way there can read and change what is
    /// sent
    #[arg(long, value_name = "HOST")]
    insecure_registry: Vec<String>,
    /// Certificates (PEM) of an authority that signs for registries; may be repeated
    #[arg(long, value_name = "FILE")]
    registry_ca: Vec<PathBuf>,
    /// Docker's `config.json` with credentials for what the owner pulls
    #[arg(long, value_name = "FILE")]
    docker_config: Option<PathBuf>,
    /// Unused images go when all together take more; a fifth of the file system by default
    #[arg(long, value_name = "GIB")]
    image_budget_gib: Option<u64>,
}

impl ImageArgs {
    fn options(&self) -> ImageOptions {
        ImageOptions {
            allow_registries: self.allow_registry.clone(),
            insecure_registries: self.insecure_registry.clone(),
            registry_cas: self.registry_ca.clone(),
            docker_config: self.docker_config.clone(),
            budget_gib: self.image_budget_gib,
        }
    }
}

/// What is said of the processor of virtual machines; nothing leaves it to the host.
#[derive(Clone, Copy, Debug)]
struct Choice(Option<Accel>);

fn accel(text: &str) -> Result<Choice, String> {
    match [Accel::Kvm, Accel::Tcg].into_iter().find(|accel| accel.word() == text) {
        None if text != "auto" => Err("expected `auto`, `kvm` or `tcg`".to_owned()),
        accel => Ok(Choice(accel)),
    }
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
            guest_kernel: self.guest_kernel.clone(),
            accel: self.accel.0,
            boot_id_file: self.boot_id_file.clone().unwrap_or(default.boot_id_file),
            slots_ready: self.slots_ready.unwrap_or(default.slots_ready),
            vms_ready: self.vms_ready.unwrap_or(default.vms_ready),
            images: self.images.options(),
            allow_notify: self.allow_notify.clone(),
            proxy: ProxySettings {
                is_on: !self.no_proxy,
                listen: self.proxy_listen.unwrap_or(default.proxy.listen),
            },
            rate_limit: self.rate_limit,
            data_dir: default.data_dir,
        }
    }
}

pub(super) fn up(global: &Global, args: &UpArgs) -> anyhow::Result<ExitCode> {
    daemon::supervisor::up(&args.options(global))?;
    Ok(ExitCode::SUCCESS)
}
