//! Rust files: each begins with a module doc, can be read in one sitting, and leaves nothing for
//! later.

use super::Finding;
use crate::workspace::{SourceFile, Workspace};

/// A file with more lines than this tells two stories.
const LINES_MAX: usize = 700;

/// A file with more lines than this deserves a look.
const LINES_NOTED: usize = 400;

/// Marks of work left for later. Spelled in halves, so that this file has none of them.
const MARKS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimplemented", "!("),
    concat!("#[ign", "ore"),
];

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Finding>> {
    let files = workspace.files(".", "rs")?;
    Ok(files.iter().flat_map(check_file).collect())
}

fn check_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.text.starts_with("//!") {
        findings.push(Finding::failure(&file.path, "does not begin with a module doc"));
    }
    let n_lines = file.text.lines().count();
    if n_lines > LINES_MAX {
        let text = format!("has {n_lines} lines; at most {LINES_MAX} make one story");
        findings.push(Finding::failure(&file.path, text));
    } else if n_lines > LINES_NOTED {
        findings.push(Finding::note(&file.path, format!("has {n_lines} lines")));
    }
    for (line, text) in file.lines() {
        if let Some(mark) = MARKS.iter().find(|mark| text.contains(**mark)) {
            findings.push(Finding::failure(format!("{}:{line}", file.path), format!("`{mark}`")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(text: &str, n_findings: usize) {
        let file = SourceFile { path: "x.rs".to_owned(), text: text.to_owned() };
        assert_eq!(check_file(&file).len(), n_findings, "{text:.40}");
    }

    #[test]
    fn what_a_file_must_be() {
        check_text("//! A room.\n", 0);
        check_text("fn main() {}\n", 1);
        check_text(concat!("//! A room.\n// TO", "DO: more\n"), 1);
        check_text(&format!("//! A room.\n{}", "\n".repeat(LINES_NOTED)), 1);
    }
}
