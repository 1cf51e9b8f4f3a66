//! Starting the program of the machine.

use crate::agent::Agent;
use crate::environment;
use crate::etc;
use crate::files;
use crate::identity;
use crate::output::Output;
use crate::pid1;
use crate::plan::{Plan, Role, search};
use crate::start_error::{StartError, text};
use crate::stdio::{Stdio, TERMINAL_SIZE};
use crate::sys;
use guest_proto::message::StartFailure;
use guest_proto::{Channel, Orders};
use rustix::process::Pid;
use std::os::fd::OwnedFd;

/// The program runs.
#[derive(Debug)]
pub(crate) struct Started {
    /// Its pid in init's namespace.
    pub(crate) pid: Pid,
    /// Its output.
    pub(crate) outputs: Vec<Output>,
    /// Starts commands beside a program that is PID 1 of its own namespace.
    pub(crate) agent: Option<Agent>,
}

/// Writes the machine's files; returns sentences for the log about what is missing but not needed.
///
/// # Errors
/// [`StartFailure::Files`].
pub(crate) fn write_files(orders: &Orders) -> Result<Vec<String>, StartError> {
    let failures = etc::write(orders);
    files::write_ordered(&orders.files)?;
    Ok(failures)
}

/// Starts the program; `pid1` leads to the process that becomes it when it wants to be PID 1.
pub(crate) fn start(orders: &Orders, pid1: Option<OwnedFd>) -> Result<Started, StartError> {
    let plan = plan(orders)?;
    let stdio = if orders.tty {
        Stdio::terminal(TERMINAL_SIZE, &plan.identity)
    } else {
        Stdio::pipes(false, &plan.identity)
    };
    let stdio = stdio.map_err(|error| StartError::other("make standard streams", error))?;
    let (pid, agent) = if orders.pid1 {
        let socket = pid1.ok_or_else(|| {
            StartError::new(StartFailure::Other, "the launcher made no place for a second PID 1")
        })?;
        let (pid, agent) = pid1::start(socket, &plan, &stdio)?;
        (pid, Some(agent))
    } else {
        (sys::spawn::spawn(&plan, stdio.theirs()).map_err(|refusal| plan.explain(refusal))?, None)
    };
    let ours = stdio.ours;
    let stderr = ours.stderr.map(|fd| Output::new(Channel::Stderr, fd));
    let stdout = Output::new(Channel::Stdout, ours.stdout);
    Ok(Started { pid, outputs: [Some(stdout), stderr].into_iter().flatten().collect(), agent })
}

fn plan(orders: &Orders) -> Result<Plan, StartError> {
    let program =
        orders.argv.first().filter(|program| !program.is_empty()).ok_or_else(|| {
            StartError::new(StartFailure::EmptyArgv, "there is no program to run")
        })?;
    let identity = identity::look_up(&orders.user)?;
    let env = environment::complete(&orders.env, &Default::default(), &identity.home, orders.tty);
    Ok(Plan {
        paths: search(program, env.get("PATH").map_or("", String::as_str)),
        argv: orders.argv.clone(),
        env: environment::lines(env),
        working_dir: make_working_dir(&orders.working_dir)?,
        identity,
        has_terminal: orders.tty,
        role: Role::Program,
    })
}

fn make_working_dir(dir: &str) -> Result<String, StartError> {
    let dir = if dir.is_empty() { "/" } else { dir };
    files::make_dirs(dir).map_err(|error| {
        StartError::new(
            StartFailure::WorkingDir,
            format!("cannot make working directory `{dir}`: {}", text(error)),
        )
    })?;
    Ok(dir.to_owned())
}
