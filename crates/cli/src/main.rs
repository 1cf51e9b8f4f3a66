//! `dormouse`: machines that sleep, from the command line.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done; 1 refused or failed; 2 wrong
//! usage; 3 the daemon cannot be reached; 4 no such thing. `exec` and `run` end with the code of
//! their command, or with 125 when it could not be run, 126 not executable, 127 not found.
//!
//! * [`args`]: the words of the command line.
//! * [`verbs`]: one file for each.
//! * [`context`]: the client and what `--json` means.
//! * [`values`]: facts, spans and moments as words write them.
//! * [`images`], [`pull`], [`docker`]: images by their names, on their way, and who asks for them.
//! * [`output`], [`failure`]: the one way out for text, and for errors.

mod args;
mod context;
mod docker;
mod failure;
mod images;
mod output;
mod pull;
mod terminal;
mod values;
mod verbs;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let is_json = cli.global.json;
    match verbs::dispatch(cli) {
        Ok(code) => code,
        Err(error) => failure::report(&error, is_json),
    }
}
