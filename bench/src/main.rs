//! Measures what Dormouse promises, beside its peers, in one run.
//!
//! Each benchmark starts its own instance and its own peers in a scratch directory, prints a table,
//! and with `--json` exactly one object on standard output. What is slower than a promise's floor
//! makes the run fail. Waiting is done in `read` and `poll`, never by spinning: a busy waiter would
//! take one of the cores that are being measured.

mod benches;
mod cleanup;
mod clock;
mod crowd;
mod dormouse;
mod host;
mod http;
mod image;
mod laps;
mod options;
mod peers;
mod process;
mod promises;
mod pulled;
mod qemu;
mod registry;
mod report;
mod scratch;
mod stamp;
mod stats;
mod sys;
mod table;
mod words;

use clap::Parser as _;
use options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = Options::parse();
    let code = match run(&options) {
        Ok(code) => code,
        Err(error) => {
            words::tell(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    };
    cleanup::wait_if_ending();
    code
}

fn run(options: &Options) -> anyhow::Result<ExitCode> {
    cleanup::listen_for_signals()?;
    let report = benches::run(options)?;
    let verdicts = promises::judge(&report);
    let text = table::render(&report, &verdicts);
    if options.json {
        words::tell(&text);
        words::answer(&report.to_json().to_string());
    } else {
        words::answer(&text);
    }
    let fails = verdicts.iter().any(promises::Verdict::is_below_floor);
    Ok(if fails && !options.no_gate { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
