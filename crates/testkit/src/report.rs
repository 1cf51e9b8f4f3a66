//! Figures that a test hands to the summary of `./dev test`: one line each, in a directory named by
//! an environment variable. Without the variable they go to the test's own output.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

/// Variable that names the directory.
pub const DIRECTORY_VARIABLE: &str = "DORMOUSE_TEST_REPORT";

/// Adds a line to the summary.
///
/// # Panics
/// The directory cannot be written to.
pub fn line(file: &str, text: &str) {
    let Some(dir) = std::env::var_os(DIRECTORY_VARIABLE).map(PathBuf::from) else {
        eprintln_line(text);
        return;
    };
    std::fs::create_dir_all(&dir).expect("the report directory can be made");
    let mut out = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join(file))
        .expect("the report can be written");
    writeln!(out, "{text}").expect("the report can be written");
}

fn eprintln_line(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("the test's output can be written");
}
