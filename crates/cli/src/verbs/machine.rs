//! `dormouse machine …`.

pub(crate) mod create;
pub(super) mod destroy;
pub(crate) mod egress;
pub(super) mod events;
mod exec;
mod labels;
mod lease;
mod list;
mod listening;
pub(super) mod logs;
mod ps;
mod ram;
mod restart;
mod routing;
mod show;
mod signal;
mod start;
mod stats;
mod stop;
mod suspend;
mod update;
mod versions;
mod wait;

use crate::args::MachineArg;
use crate::context::Context;
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with machines.
#[derive(Debug, Subcommand)]
pub(crate) enum MachineVerb {
    /// Create a machine
    Create(Box<create::CreateArgs>),
    /// Put a new version in place: options change the configuration, `--config` replaces it
    Update(Box<update::UpdateArgs>),
    /// List machines
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show a machine and its newest events
    Show(MachineArg),
    /// Start machines
    Start(start::StartArgs),
    /// Stop machines
    Stop(stop::StopArgs),
    /// Stop and start machines
    Restart(restart::RestartArgs),
    /// Let a machine sleep with its RAM
    Suspend(suspend::SuspendArgs),
    /// Send a signal to a machine's program
    Signal(signal::SignalArgs),
    /// Send SIGKILL to a machine's program
    Kill(MachineArg),
    /// Destroy machines with their disks
    #[command(visible_alias = "rm")]
    Destroy(destroy::DestroyArgs),
    /// Wait until a machine is in a state
    Wait(wait::WaitArgs),
    /// Run a command in a machine; ends with its exit code
    Exec(exec::ExecArgs),
    /// Print a machine's output
    Logs(logs::LogsArgs),
    /// Show the processes in a machine
    Ps(MachineArg),
    /// Show what a machine uses now
    Stats(MachineArg),
    /// Show how much RAM a machine may use, and does not
    Ram(MachineArg),
    /// Show what listens in a machine
    Listening(MachineArg),
    /// Show what happened to a machine
    Events(events::EventsArgs),
    /// Show the versions of a machine
    Versions(MachineArg),
    /// Have the proxy leave machines out
    Cordon(routing::RoutingArgs),
    /// Have the proxy take machines in again
    Uncordon(routing::RoutingArgs),
    /// Labels: show or change them
    #[command(visible_alias = "metadata")]
    Labels(labels::LabelsArgs),
    /// Leases: nobody but the holder changes the machine
    #[command(subcommand)]
    Lease(lease::LeaseVerb),
}

pub(super) async fn machine(context: &Context, verb: &MachineVerb) -> anyhow::Result<ExitCode> {
    match verb {
        MachineVerb::Create(args) => create::create(context, args).await?,
        MachineVerb::List(args) => list::list(context, args).await?,
        MachineVerb::Show(args) => show::show(context, args).await?,
        MachineVerb::Start(args) => start::start(context, args).await?,
        MachineVerb::Stop(args) => stop::stop(context, args).await?,
        MachineVerb::Restart(args) => restart::restart(context, args).await?,
        MachineVerb::Suspend(args) => suspend::suspend(context, args).await?,
        MachineVerb::Signal(args) => signal::signal(context, args).await?,
        MachineVerb::Kill(args) => signal::kill(context, args).await?,
        MachineVerb::Destroy(args) => destroy::destroy(context, args).await?,
        MachineVerb::Wait(args) => wait::wait(context, args).await?,
        MachineVerb::Exec(args) => return exec::exec(context, args).await,
        MachineVerb::Logs(args) => logs::logs(context, args).await?,
        MachineVerb::Ps(args) => ps::ps(context, args).await?,
        MachineVerb::Ram(args) => ram::ram(context, args).await?,
        MachineVerb::Stats(args) => stats::stats(context, args).await?,
        MachineVerb::Events(args) => events::events(context, args).await?,
        MachineVerb::Update(args) => update::update(context, args).await?,
        MachineVerb::Listening(args) => listening::listening(context, args).await?,
        MachineVerb::Versions(args) => versions::versions(context, args).await?,
        MachineVerb::Cordon(args) => routing::set_cordoned(context, args, true).await?,
        MachineVerb::Uncordon(args) => routing::set_cordoned(context, args, false).await?,
        MachineVerb::Labels(args) => labels::labels(context, args).await?,
        MachineVerb::Lease(verb) => lease::lease(context, verb).await?,
    }
    Ok(ExitCode::SUCCESS)
}
