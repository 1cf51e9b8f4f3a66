//! What a compiler cannot see.
//!
//! Each check reads the repository and returns findings; none changes anything. The same checks run
//! as a test of this package.
//!
//! * [`architecture`]: `ARCHITECTURE.md` speaks of the code as it is.
//! * [`rust_files`]: module docs, bounds on files, nothing left for later.
//! * [`manifests`]: each dependency explains itself and is used.
//! * [`documents`]: links lead somewhere.
//! * [`words`]: the glossary's words, and not their rivals.

mod architecture;
mod documents;
mod manifests;
mod rust_files;
mod words;

use crate::workspace::Workspace;

/// Something that a check has found.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    severity: Severity,
    /// Path from the root, with `:line` where there is one.
    place: String,
    text: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    /// Worth a thought.
    Note,
    /// Must be put right.
    Failure,
}

impl Finding {
    fn failure(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { severity: Severity::Failure, place: place.into(), text: text.into() }
    }

    fn note(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { severity: Severity::Note, place: place.into(), text: text.into() }
    }
}

/// Prints every finding; fails when one must be put right.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let findings = check(workspace)?;
    for finding in &findings {
        let word = if finding.severity == Severity::Failure { "failure" } else { "note" };
        crate::say(&format!("{word}: {}: {}", finding.place, finding.text))?;
    }
    let n_failures = findings.iter().filter(|f| f.severity == Severity::Failure).count();
    anyhow::ensure!(n_failures == 0, "the repository is not tidy: {n_failures} failures");
    crate::say(&format!("tidy: {} packages, nothing to put right", workspace.packages.len()))
}

fn check(workspace: &Workspace) -> anyhow::Result<Vec<Finding>> {
    let mut findings = architecture::check(workspace)?;
    findings.extend(rust_files::check(workspace)?);
    findings.extend(manifests::check(workspace)?);
    findings.extend(documents::check(workspace)?);
    findings.extend(words::check(workspace)?);
    findings.extend(
        crate::planted::check_table(workspace)
            .into_iter()
            .map(|text| Finding::failure("xtask/src/planted.rs", text)),
    );
    findings.sort();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let workspace = Workspace::load().expect("cargo knows the workspace");
        let findings = check(&workspace).expect("the repository reads");
        let failures = findings.iter().filter(|f| f.severity == Severity::Failure);
        let lines: Vec<_> = failures.map(|f| format!("{}: {}", f.place, f.text)).collect();
        assert!(lines.is_empty(), "cargo xtask tidy:\n{}", lines.join("\n"));
    }
}
