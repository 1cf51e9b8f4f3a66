//! The command line.

use std::path::PathBuf;
use std::time::Duration;

/// Measures what Dormouse promises, beside its peers.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "dormouse-bench", version)]
pub(crate) struct Options {
    /// What to measure.
    #[arg(value_enum)]
    pub(crate) bench: Bench,
    /// Print one JSON object on standard output; the table goes to standard error.
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with 0 even if a figure is worse than its floor.
    #[arg(long)]
    pub(crate) no_gate: bool,
    /// Pause before each measured step, in milliseconds. Idle kernels are slower than busy ones.
    #[arg(long, default_value_t = 20)]
    pub(crate) pause_ms: u64,
    /// Measured rounds; each benchmark has its default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: Option<u32>,
    /// Rounds with control killed and caches dropped before (`start`).
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) cold_rounds: u32,
    /// Machines; each benchmark has its default (`vm_ram`: the most at once).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) machines: Option<u32>,
    /// Seconds to watch the sleepers (`idle`, `governor`), or to write (`api`).
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// Where the kernel of virtual machines lies (`vm`, `vm_ram`, `depths`): an unpacked package, or `/`.
    #[arg(long, value_name = "DIR")]
    pub(crate) guest_kernel: Option<PathBuf>,
    /// Who is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Contender::ALL)]
    pub(crate) contenders: Vec<Contender>,
    /// Directory for scratch data: a real disk, because that is what is promised for.
    #[arg(long, default_value = "/var/tmp")]
    pub(crate) dir: PathBuf,
}

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bench {
    /// Start of a stopped machine until its program's first instruction.
    Start,
    /// Create from a cached image until started.
    Create,
    /// Many starts at once.
    Burst,
    /// What sleeping machines cost.
    Idle,
    /// A command inside a running machine.
    Exec,
    /// Freeze and thaw.
    Freeze,
    /// Pull and create from an image that is not here yet.
    Pull,
    /// Machines that govern their own sleep.
    Governor,
    /// A knock on a stopped machine until the answer of its web server.
    Wake,
    /// Requests to a running machine through the proxy.
    Proxy,
    /// Many knocks at once.
    Herd,
    /// Calls of the API with a thousand machines, on a good disk and on a slow one.
    Api,
    /// Start of a virtual machine beside a container's.
    Vm,
    /// RAM of virtual machines that do nothing.
    #[value(name = "vm_ram")]
    VmRam,
    /// Sleep of virtual machines, on disk and frozen, and the way back.
    Depths,
}

impl Bench {
    /// Its name on the command line and in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Create => "create",
            Self::Burst => "burst",
            Self::Idle => "idle",
            Self::Exec => "exec",
            Self::Freeze => "freeze",
            Self::Pull => "pull",
            Self::Governor => "governor",
            Self::Wake => "wake",
            Self::Proxy => "proxy",
            Self::Herd => "herd",
            Self::Api => "api",
            Self::Vm => "vm",
            Self::VmRam => "vm_ram",
            Self::Depths => "depths",
        }
    }
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contender {
    /// This project.
    Dormouse,
    /// `dockerd`, through its API.
    Docker,
    /// `podman`, through its command line: it has no daemon.
    Podman,
    /// `runc` on a prepared bundle.
    Runc,
    /// What the kernel alone asks.
    Floor,
    /// `nginx`, as a proxy.
    Nginx,
}

impl Contender {
    const ALL: [Self; 6] =
        [Self::Floor, Self::Dormouse, Self::Docker, Self::Runc, Self::Podman, Self::Nginx];
}

impl Options {
    /// The pause before each measured step.
    pub(crate) const fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms)
    }

    /// Measured rounds.
    pub(crate) fn rounds_or(&self, default: u32) -> u32 {
        self.rounds.unwrap_or(default)
    }

    /// Machines.
    pub(crate) fn machines_or(&self, default: u32) -> u32 {
        self.machines.unwrap_or(default)
    }

    /// Whether `contender` takes part.
    pub(crate) fn has(&self, contender: Contender) -> bool {
        self.contenders.contains(&contender)
    }
}
