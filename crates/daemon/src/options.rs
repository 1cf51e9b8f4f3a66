//! What an instance is told at its start.

use anyhow::Context as _;
use control::{Accel, ImageSettings, NotifySettings, VmConfig};
use registry::trust::DOCKER_CERTS_DIR;
use registry::{AllowList, Trust};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Default data directory.
pub const DATA_DIR: &str = "/var/lib/dormouse";

/// Where runtime directories of instances lie; emptied by a reboot on most hosts.
pub const RUNTIME_ROOT: &str = "/run/dormouse";

/// QEMU's program, as Debian's package has it.
const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// Default address of the API. Source: design, section 8.
pub const LISTEN: &str = "127.0.0.1:4280";

/// Options of `dormouse up`, handed on to control.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// Data directory.
    pub data_dir: PathBuf,
    /// Address of the API; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Machines may reach beyond the host, by NAT.
    pub egress: bool,
    /// Region that this host answers for.
    pub region: String,
    /// The `dormouse-shim` binary; beside this program by default.
    pub shim: Option<PathBuf>,
    /// The `dormouse-init` binary; beside this program by default.
    pub init: Option<PathBuf>,
    /// Where the kernel of virtual machines lies: `/`, or a directory with an unpacked package.
    pub guest_kernel: PathBuf,
    /// What runs the code of virtual machines; found out by a boot when absent.
    pub accel: Option<Accel>,
    /// File with the id of the host's boot.
    pub boot_id_file: PathBuf,
    /// Slots kept ready: fewest and most.
    pub slots_ready: (u16, u16),
    /// Virtual machines of a shape kept warm: fewest and most.
    pub vms_ready: (u16, u16),
    /// Which registries are used, and how.
    pub images: ImageOptions,
    /// Patterns of servers, on this host or in private networks, that notifications may reach, from
    /// this host.
    pub allow_notify: Vec<String>,
    /// How visitors come in.
    pub proxy: ProxySettings,
    /// Holders of tokens may call so many times as often as the Machines API lets its own; `None`
    /// lets them call as often as they like.
    pub rate_limit: Option<NonZeroU32>,
}

/// What an instance is told about its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// Whether there is one.
    pub is_on: bool,
    /// Address on which the ports of services are opened.
    pub listen: IpAddr,
}

impl Default for ProxySettings {
    /// On the loopback: nothing is open to the world unless somebody says so.
    fn default() -> Self {
        Self { is_on: true, listen: IpAddr::V4(Ipv4Addr::LOCALHOST) }
    }
}

/// What an instance is told about images.
#[derive(Clone, Debug, Default)]
pub struct ImageOptions {
    /// Patterns of the only registries that may be used; empty allows every registry.
    pub allow_registries: Vec<String>,
    /// Registries whose certificate is not checked, and that may be spoken to without TLS when they
    /// have none, `host[:port]`.
    pub insecure_registries: Vec<String>,
    /// Files with certificates of authorities that sign for registries, besides the host's.
    pub registry_cas: Vec<PathBuf>,
    /// Docker's `config.json` with the owner's credentials.
    pub docker_config: Option<PathBuf>,
    /// Most that images take together before unused ones go, in GiB.
    pub budget_gib: Option<u64>,
}

impl ImageOptions {
    /// As control takes them; reads the certificates.
    ///
    /// # Errors
    /// A pattern is none, or a file of certificates cannot be used.
    pub(crate) fn settings(&self) -> anyhow::Result<ImageSettings> {
        let list = |patterns: &[String]| AllowList::of(patterns.iter().map(String::as_str));
        let allowed = match self.allow_registries.as_slice() {
            [] => None,
            patterns => Some(list(patterns).context("`--allow-registry` cannot be used")?),
        };
        let insecure = list(&self.insecure_registries);
        Ok(ImageSettings {
            allowed,
            insecure: insecure.context("`--insecure-registry` cannot be used")?,
            trust: Trust::of_host(&self.registry_cas, Some(Path::new(DOCKER_CERTS_DIR)))?,
            docker_config: self.docker_config.clone(),
            budget_bytes: self.budget_gib.map(|gib| gib.saturating_mul(1 << 30)),
        })
    }

    fn control_args(&self) -> Vec<String> {
        let path = |option: &str, path: &PathBuf| format!("--{option}={}", path.display());
        let allow = self.allow_registries.iter().map(|p| format!("--allow-registry={p}"));
        let insecure = self.insecure_registries.iter().map(|h| format!("--insecure-registry={h}"));
        let cas = self.registry_cas.iter().map(|file| path("registry-ca", file));
        let docker_config = self.docker_config.iter().map(|file| path("docker-config", file));
        let budget = self.budget_gib.iter().map(|gib| format!("--image-budget-gib={gib}"));
        allow.chain(insecure).chain(cas).chain(docker_config).chain(budget).collect()
    }
}

impl UpOptions {
    /// Defaults for a data directory.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            listen: SocketAddr::from(([127, 0, 0, 1], 4280)),
            egress: false,
            region: "local".to_owned(),
            shim: None,
            init: None,
            guest_kernel: PathBuf::from("/"),
            accel: None,
            boot_id_file: PathBuf::from("/proc/sys/kernel/random/boot_id"),
            slots_ready: (4, 8),
            vms_ready: (1, 2),
            images: ImageOptions::default(),
            allow_notify: Vec::new(),
            proxy: ProxySettings::default(),
            rate_limit: None,
        }
    }

    /// The arguments that make `dormouse control` see the same options.
    #[must_use]
    pub fn control_args(&self) -> Vec<String> {
        let mut args = vec![
            format!("--data-dir={}", self.data_dir.display()),
            "control".to_owned(),
            format!("--listen={}", self.listen),
            format!("--region={}", self.region),
            format!("--guest-kernel={}", self.guest_kernel.display()),
            format!("--boot-id-file={}", self.boot_id_file.display()),
            format!("--slots-ready={},{}", self.slots_ready.0, self.slots_ready.1),
            format!("--vms-ready={},{}", self.vms_ready.0, self.vms_ready.1),
        ];
        if self.egress {
            args.push("--egress".to_owned());
        }
        args.extend(self.shim.iter().map(|path| format!("--shim={}", path.display())));
        args.extend(self.init.iter().map(|path| format!("--init={}", path.display())));
        let listen = || format!("--proxy-listen={}", self.proxy.listen);
        args.push(if self.proxy.is_on { listen() } else { "--no-proxy".to_owned() });
        args.extend(self.accel.map(|accel| format!("--accel={}", accel.word())));
        args.extend(self.rate_limit.map(|factor| format!("--rate-limit={factor}")));
        args.extend(self.images.control_args());
        args.extend(self.allow_notify.iter().map(|server| format!("--allow-notify={server}")));
        args
    }

    /// The arguments of `dormouse proxy`.
    #[must_use]
    pub fn proxy_args(&self) -> Vec<String> {
        vec![
            format!("--data-dir={}", self.data_dir.display()),
            "proxy".to_owned(),
            "run".to_owned(),
            format!("--region={}", self.region),
            format!("--proxy-listen={}", self.proxy.listen),
        ]
    }

    /// What notifications are told, whose certificates count as those of images do.
    ///
    /// # Errors
    /// A pattern is none.
    pub(crate) fn notify_settings(&self, images: &ImageSettings) -> anyhow::Result<NotifySettings> {
        let named = AllowList::of(self.allow_notify.iter().map(String::as_str));
        let named = named.context("`--allow-notify` cannot be used")?;
        Ok(NotifySettings { named, trust: images.trust.clone() })
    }

    /// Where virtual machines come from.
    pub(crate) fn vm_config(&self) -> VmConfig {
        let kernel_root = self.guest_kernel.clone();
        VmConfig { qemu_path: QEMU.into(), kernel_root, accel: self.accel }
    }

    /// The shim's binary.
    ///
    /// # Errors
    /// It is not where it should be.
    pub fn shim_path(&self) -> anyhow::Result<PathBuf> {
        beside(self.shim.as_ref(), "dormouse-shim")
    }

    /// The guest init's binary.
    ///
    /// # Errors
    /// It is not where it should be.
    pub fn init_path(&self) -> anyhow::Result<PathBuf> {
        beside(self.init.as_ref(), "dormouse-init")
    }
}

/// A given path, or the binary of this name beside the running program.
fn beside(given: Option<&PathBuf>, name: &str) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name(name),
    };
    path.canonicalize().with_context(|| {
        format!("{} is not there: build or install all binaries together", path.display())
    })
}
