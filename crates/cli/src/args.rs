//! The words of the command line.

use crate::verbs;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

#[cfg(test)]
mod tests;

/// Machines that sleep: create once, start in milliseconds, stop for nothing.
#[derive(Debug, Parser)]
#[command(name = "dormouse", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 the daemon cannot \
    be reached; 4 no such thing. `exec` and `run` end with the code of their command (125: it could \
    not be run, 126: not executable, 127: not found)."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every verb takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Data directory of the instance
    #[arg(long, global = true, env = "DORMOUSE_DATA_DIR", hide_env_values = true)]
    #[arg(default_value = daemon::options::DATA_DIR, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Address of the daemon; by default the unix socket of the instance
    #[arg(long, global = true, env = "DORMOUSE_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// Token, with `--url`; by default the owner's, if it can be read
    #[arg(long, global = true, env = "DORMOUSE_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Nonce of the lease that the caller holds: calls carry it
    #[arg(
        long,
        global = true,
        env = "DORMOUSE_LEASE",
        hide_env_values = true,
        value_name = "NONCE"
    )]
    pub(crate) lease: Option<String>,
    /// Answers as JSON, one value a line; errors too, on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// A machine, by id or name.
#[derive(Clone, Debug, Args)]
pub(crate) struct MachineArg {
    /// Id or name of the machine
    pub(crate) machine: String,
    /// Look only in this app
    #[arg(long, short, env = "DORMOUSE_APP", hide_env_values = true)]
    pub(crate) app: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start the daemon in the foreground
    Up(verbs::up::UpArgs),
    /// Stop all machines, end the daemon and delete its namespaces; the data stays
    Down(verbs::down::DownArgs),
    /// Say what works on this host, what does not, and what to do about it
    Doctor,
    /// Create and start a machine in one go, and follow its output
    Run(verbs::run::RunArgs),
    /// Machines
    #[command(subcommand, visible_alias = "m")]
    Machine(verbs::machine::MachineVerb),
    /// Apps: namespaces of machines
    #[command(subcommand)]
    App(verbs::app::AppVerb),
    /// Secrets of apps
    #[command(subcommand)]
    Secret(verbs::secret::SecretVerb),
    /// Keys of apps that sign or encrypt without ever leaving
    #[command(subcommand)]
    SecretKey(verbs::secret_key::SecretKeyVerb),
    /// Images: what machines are made from
    #[command(subcommand)]
    Image(verbs::image::ImageVerb),
    /// Policies: rules by which a machine governs its own sleep
    #[command(subcommand)]
    Policy(verbs::policy::PolicyVerb),
    /// Memory: facts that a machine and its rules go by
    #[command(subcommand)]
    Memory(verbs::memory::MemoryVerb),
    /// Show or say what a machine is for
    Intent(verbs::intent::IntentArgs),
    /// Inboxes: messages to machines, also to those asleep
    #[command(subcommand)]
    Inbox(verbs::inbox::InboxVerb),
    /// Holds: what keeps a machine awake for a while
    #[command(subcommand)]
    Hold(verbs::hold::HoldVerb),
    /// Alarms: what wakes a machine by the clock
    #[command(subcommand)]
    Alarm(verbs::alarm::AlarmVerb),
    /// Hooks: paths under which any service can post to a machine's inbox
    #[command(subcommand)]
    Hook(verbs::hook::HookVerb),
    /// Host names of apps and their certificates
    #[command(subcommand)]
    Certs(verbs::certs::CertsVerb),
    /// Say why a machine is awake or asleep, and what comes next
    Explain(MachineArg),
    /// Show why a machine was last woken
    Wake(MachineArg),
    /// Show what a machine waits for by its own word
    Rest(verbs::rest::RestArgs),
    /// Print or check what was written, refused and decided about a machine
    Trace(verbs::trace::TraceArgs),
    /// Hold-downs: nothing wakes the machine
    #[command(subcommand)]
    HoldDown(verbs::hold_down::HoldDownVerb),
    /// Circuit breakers: they open when wakes fail again and again
    #[command(subcommand)]
    Breaker(verbs::breaker::BreakerVerb),
    /// All that a machine remembers
    #[command(subcommand, name = "self")]
    Selfhood(verbs::selfhood::SelfVerb),
    /// Access tokens of the API
    #[command(subcommand)]
    Token(verbs::token::TokenVerb),
    /// Regions, and how much room there is: this host
    #[command(subcommand)]
    Region(verbs::region::RegionVerb),
    /// Metered use of the host, an app or a machine
    Usage(verbs::usage::UsageArgs),
    /// Make any call of the API, and print its answer as it comes
    Api(verbs::api::ApiArgs),
    /// Print completions for a shell
    Completions(verbs::completions::CompletionsArgs),
    /// Write the manual pages
    #[command(hide = true)]
    Man(verbs::man::ManArgs),
    /// What the proxy has open, and who is behind it
    #[command(subcommand)]
    Proxy(verbs::proxy::ProxyVerb),
    /// The control process; started by `up`
    #[command(hide = true)]
    Control(verbs::up::UpArgs),
    /// The unpacking process; started by control
    #[command(hide = true)]
    UnpackLayer,
}
