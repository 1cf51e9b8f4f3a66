//! `dormouse machine exec`: a command in a machine, tied to this terminal.

use crate::args::MachineArg;
use crate::context::Context;
use crate::failure::{Failure, NOT_RUN, not_run_code};
use crate::terminal::{self, RawMode};
use api::contract::AttachRequest;
use api::contract::frame::Frame;
use clap::Args;
use client::{AttachReader, AttachWriter};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Bytes read from the terminal or pipe at a time.
const READ_BYTES: usize = 32 * 1024;

/// Reads that may wait to be sent.
const READS_AHEAD: usize = 4;

/// Which machine, which command.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Pass input on
    #[arg(long, short)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(long, short)]
    tty: bool,
    /// A variable of its environment
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// User and group
    #[arg(long, short, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    #[command(flatten)]
    machine: MachineArg,
    /// The command
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) async fn exec(context: &Context, args: &ExecArgs) -> anyhow::Result<ExitCode> {
    if args.tty && args.interactive && !terminal::is_input() {
        let hint = "leave `-t` out when input is a pipe or file";
        return Err(Failure::new("input is not a terminal", hint).with_code(NOT_RUN).into());
    }
    let found = context.find(&args.machine).await?;
    let wish = AttachRequest {
        command: args.command.clone(),
        env: env(&args.env)?,
        user: args.user.clone(),
        working_dir: args.workdir.clone(),
        tty: args.tty.then(terminal::size),
        stdin: args.interactive,
    };
    let (reader, writer) = context.client.attach(&found.app, &found.id, &wish).await?;
    let is_raw = args.tty && args.interactive;
    let raw = if is_raw { Some(RawMode::enter()?) } else { None };
    let sending = tokio::spawn(send(writer, args.interactive, args.tty));
    let ended = receive(reader).await;
    sending.abort();
    drop(raw);
    ended
}

fn env(entries: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |entry: &String| {
        let (name, value) = entry.split_once('=').ok_or_else(|| {
            Failure::new(
                format!("variable `{entry}` has no value"),
                "write it like `-e NAME=VALUE`",
            )
        })?;
        Ok((name.to_owned(), value.to_owned()))
    };
    entries.iter().map(pair).collect()
}

/// Writes output until the command has ended; the answer is its exit code.
async fn receive(mut reader: AttachReader) -> anyhow::Result<ExitCode> {
    loop {
        match reader.next().await? {
            Frame::Stdout(bytes) => {
                let mut out = io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()?;
            }
            Frame::Stderr(bytes) => io::stderr().lock().write_all(&bytes)?,
            Frame::Ended(code) => return Ok(ExitCode::from(shell_code(code))),
            Frame::Failed(body) => {
                let code = not_run_code(&body.code);
                return Err(Failure { message: body.error, hint: body.hint, code }.into());
            }
            Frame::Stdin(_) | Frame::StdinEnd | Frame::Resize(_) => {}
        }
    }
}

/// An exit code as a shell can show it.
pub(in crate::verbs) fn shell_code(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

/// Parts of standard input, read by a thread of its own: a read from a terminal may never end, and
/// then ends with the process.
fn read_stdin() -> mpsc::Receiver<Vec<u8>> {
    let (parts, received) = mpsc::channel(READS_AHEAD);
    std::thread::spawn(move || {
        let mut buffer = vec![0; READ_BYTES];
        let mut stdin = io::stdin();
        // An error is the end of the input as far as the command is concerned.
        while let Ok(n @ 1..) = stdin.read(&mut buffer) {
            if parts.blocking_send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    received
}

async fn next_part(input: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    input.as_mut()?.recv().await
}

/// Sends input and terminal sizes until there is no more of either.
async fn send(
    mut writer: AttachWriter,
    is_interactive: bool,
    has_terminal: bool,
) -> anyhow::Result<()> {
    let mut resized = signal(SignalKind::window_change())?;
    let mut input = if is_interactive { Some(read_stdin()) } else { None };
    loop {
        tokio::select! {
            part = next_part(&mut input), if input.is_some() => match part {
                Some(bytes) => writer.send_input(&bytes).await?,
                None => {
                    input = None;
                    writer.send(&Frame::StdinEnd).await?;
                }
            },
            Some(()) = resized.recv() => {
                if has_terminal {
                    writer.send(&Frame::Resize(terminal::size())).await?;
                }
            }
        }
    }
}
