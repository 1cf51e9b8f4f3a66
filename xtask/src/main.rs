//! Chores of the repository: `cargo xtask tidy` and `cargo xtask planted`.
//!
//! * [`tidy`]: what a compiler cannot see: texts that must agree with the code, bounds on files.
//! * [`planted`]: builds with one planted bug at a time; the tests must go red on each.

mod planted;
mod tidy;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;
use workspace::Workspace;

const USAGE: &str = "usage: cargo xtask tidy | cargo xtask planted [BUG]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.first().map(String::as_str) {
        Some("tidy") => Workspace::load().and_then(|workspace| tidy::run(&workspace)),
        Some("planted") => Workspace::load()
            .and_then(|workspace| planted::run(&workspace, words.get(1).map(String::as_str))),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says a line to the person who waits. A closed standard error is no reason to stop.
fn note(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}

/// Prints a line of the result.
fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
