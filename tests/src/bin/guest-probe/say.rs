//! What a subcommand answers.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// It went through.
pub(crate) fn say(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_nobody_reads) => ExitCode::FAILURE,
    }
}

/// The kernel refused.
pub(crate) fn failed(error: &io::Error) -> ExitCode {
    complain(&error.to_string());
    ExitCode::FAILURE
}

/// It was called wrongly.
pub(crate) fn usage(words: &str) -> ExitCode {
    complain(&format!("usage: guest-probe {words}"));
    ExitCode::from(2)
}

fn complain(text: &str) {
    writeln!(io::stderr(), "guest-probe: {text}").ok();
}
