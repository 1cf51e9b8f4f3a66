//! `dormouse machine …`.

pub(crate) mod create;
pub(super) mod destroy;
mod events;
mod exec;
mod list;
pub(super) mod logs;
mod ps;
mod restart;
mod show;
mod signal;
mod start;
mod stats;
mod stop;
mod suspend;
mod wait;

use crate::args::MachineArg;
use crate::context::Context;
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with machines.
#[derive(Debug, Subcommand)]
pub(crate) enum MachineVerb {
    /// Create a machine
    Create(create::CreateArgs),
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
    /// Show what happened to a machine
    Events(events::EventsArgs),
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
        MachineVerb::Stats(args) => stats::stats(context, args).await?,
        MachineVerb::Events(args) => events::events(context, args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
