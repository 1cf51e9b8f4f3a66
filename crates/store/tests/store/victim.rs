//! Processes that die on purpose: this test binary runs one of its own tests as a child.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Names the directory that a victim works in; unset in an ordinary run.
pub(crate) const DIR: &str = "STORE_TEST_DIR";

pub(crate) const SIGKILL: i32 = 9;

/// The directory to work in, if this process is a victim.
pub(crate) fn dir() -> Option<std::path::PathBuf> {
    std::env::var_os(DIR).map(Into::into)
}

/// Tells the parent something. Ends the line that the test harness may have begun.
pub(crate) fn say(line: &str) {
    use std::io::Write as _;
    let text = format!("\n{line}\n");
    std::io::stdout().write_all(text.as_bytes()).expect("the parent listens");
}

/// A command that runs `test` of this binary in `dir`.
pub(crate) fn command(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the test binary has a path"));
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdin(Stdio::null());
    command
}

pub(crate) fn run(test: &str, dir: &Path, variables: &[(&str, &str)]) -> Output {
    command(test, dir).envs(variables.iter().copied()).output().expect("the test binary starts")
}

/// What follows `prefix` in the lines a victim said.
pub(crate) fn said(output: &Output, prefix: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.strip_prefix(prefix).map(str::to_owned)).collect()
}
