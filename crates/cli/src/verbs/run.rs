//! `dormouse run IMAGE [CMD…]`: create, start, follow, end with the program's code.

use super::machine::create::{Wish, create_with, ensure_app};
use super::machine::destroy::wait_until_gone;
use super::machine::logs::print;
use crate::context::Context;
use crate::failure::{FAILED, Failure, not_run_code};
use crate::output;
use api::contract::{Machine, StopRequest};
use clap::Args;
use client::{Client, ClientError};
use std::process::ExitCode;

/// Lines that are looked at again when the program has ended.
const TAIL_LINES: u64 = 10_000;

/// Seconds of one request that waits.
const WAIT_S: u64 = 60;

/// A machine to run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// App it belongs to; made when missing
    #[arg(long, short, default_value = "default", env = "DORMOUSE_APP", hide_env_values = true)]
    app: String,
    /// Print the id and leave it running
    #[arg(long, short)]
    detach: bool,
    /// Destroy it when its program has ended
    #[arg(long)]
    rm: bool,
    #[command(flatten)]
    wish: Wish,
    /// Image
    image: String,
    /// Command, instead of the image's own
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) async fn run(context: &Context, args: &RunArgs) -> anyhow::Result<ExitCode> {
    ensure_app(context, &args.app).await?;
    let mut wish = args.wish.clone();
    if !args.detach || args.rm {
        // Whoever waits for the end of a program wants one run of it.
        wish.restart.get_or_insert_with(|| "no".to_owned());
    }
    let mut config = wish.config(&args.image, &args.command)?;
    // A machine that destroyed itself could not be asked for its last words.
    config.auto_destroy = (args.rm && args.detach).then_some(true);
    let machine = create_with(context, &args.app, &wish, config, false).await?;
    if args.detach {
        context.show(&machine, |machine| machine.id.clone())?;
        return Ok(ExitCode::SUCCESS);
    }
    let code = follow(context, &args.app, &machine).await;
    if args.rm {
        context.client.destroy(&args.app, &machine.id, true).await?;
        wait_until_gone(&context.client, &args.app, &machine.id).await?;
    }
    code
}

/// Prints what the program prints until it has ended.
async fn follow(context: &Context, app: &str, machine: &Machine) -> anyhow::Result<ExitCode> {
    let client = &context.client;
    let id = machine.id.as_str();
    wait_for(client, app, id, &["started", "stopped", "failed", "destroyed"]).await?;
    let mut last_at = String::new();
    {
        let mut lines = client.logs(app, id, TAIL_LINES, true).await?;
        let ended = end_of(client, app, id);
        tokio::pin!(ended);
        loop {
            tokio::select! {
                line = lines.next() => match line? {
                    Some(line) => {
                        print(context.is_json, false, &line)?;
                        last_at = line.at;
                    }
                    None => {
                        ended.as_mut().await?;
                        break;
                    }
                },
                ended = &mut ended => {
                    ended?;
                    break;
                }
            }
        }
    }
    // The end may be known before the last lines have arrived: the rest is read from the log.
    let mut rest = client.logs(app, id, TAIL_LINES, false).await?;
    while let Some(line) = rest.next().await? {
        if line.at > last_at {
            print(context.is_json, false, &line)?;
        }
    }
    exit_code(client, app, id).await
}

/// Until the machine is down; an interrupt stops it, a second one leaves it alone.
async fn end_of(client: &Client, app: &str, id: &str) -> anyhow::Result<()> {
    let down = wait_for(client, app, id, &["stopped", "failed", "destroyed"]);
    tokio::pin!(down);
    tokio::select! {
        ended = &mut down => return Ok(ended?),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    output::notice("stopping; interrupt again to leave it to itself");
    client.stop(app, id, &StopRequest::default()).await?;
    tokio::select! {
        ended = &mut down => Ok(ended?),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            let hint = format!("`dormouse machine show {id}` says how it is");
            Err(Failure::new("left before the program had ended", hint).with_code(130).into())
        }
    }
}

async fn wait_for(
    client: &Client,
    app: &str,
    id: &str,
    states: &[&str],
) -> Result<(), ClientError> {
    loop {
        match client.wait(app, id, states, WAIT_S).await {
            Err(error) if error.code() == Some("wait_timeout") => {}
            other => return other.map(|_| ()),
        }
    }
}

/// The code of the newest exit.
async fn exit_code(client: &Client, app: &str, id: &str) -> anyhow::Result<ExitCode> {
    let machine = client.machine(app, id).await?;
    if let Some(failure) = &machine.failure {
        let hint = format!("`dormouse machine events {id}` says more");
        let message = format!("machine {id} failed: {}", failure.message);
        let code = not_run_code(&failure.code);
        return Err(Failure::new(message, hint).with_code(code).into());
    }
    let exits = machine.events.iter().flatten().filter_map(|event| event.request.as_ref());
    let code = exits.map(|request| &request["exit_event"]["exit_code"]).find_map(|c| c.as_i64());
    let code = code.and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(FAILED);
    Ok(ExitCode::from(code))
}
