//! `ARCHITECTURE.md` speaks of the code as it is: its paths exist, each package has its paragraph,
//! and the arrows between packages are drawn as they are.

use super::Finding;
use crate::workspace::{SourceFile, Workspace};
use std::collections::{BTreeMap, BTreeSet};

const FILE: &str = "ARCHITECTURE.md";

/// Opens the block that draws the arrows: one line `package -> package package` each.
const ARROWS_FENCE: &str = "```arrows";

/// What a path in the text begins with.
const PATH_STARTS: [&str; 8] =
    ["crates/", "docs/", "tests/", "bench/", "xtask/", "fuzz/", "scripts/", ".c"];

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Finding>> {
    let file = SourceFile::read(&workspace.root, &workspace.root.join(FILE))?;
    let mut findings = check_paths(workspace, &file);
    findings.extend(check_paragraphs(workspace, &file));
    findings.extend(check_arrows(workspace, &file));
    Ok(findings)
}

fn check_paths(workspace: &Workspace, file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in file.lines() {
        // Between backticks are the odd parts.
        let literals = text.split('`').skip(1).step_by(2);
        for path in literals.filter(|literal| is_path(literal)) {
            if !workspace.root.join(path).exists() {
                let place = format!("{FILE}:{line}");
                findings.push(Finding::failure(place, format!("`{path}` does not exist")));
            }
        }
    }
    findings
}

fn is_path(literal: &str) -> bool {
    let is_plain = !literal.contains(['<', '*', '{', ' ', ':']);
    is_plain && PATH_STARTS.iter().any(|start| literal.starts_with(start))
}

fn check_paragraphs(workspace: &Workspace, file: &SourceFile) -> Vec<Finding> {
    let titles: BTreeSet<&str> = file
        .lines()
        .filter_map(|(_, line)| line.strip_prefix("### `")?.strip_suffix('`'))
        .collect();
    let packages: BTreeSet<&str> = workspace.packages.keys().map(String::as_str).collect();
    let without = packages.difference(&titles);
    let unknown = titles.difference(&packages);
    without
        .map(|name| Finding::failure(FILE, format!("package `{name}` has no paragraph")))
        .chain(unknown.map(|name| Finding::failure(FILE, format!("there is no package `{name}`"))))
        .collect()
}

fn check_arrows(workspace: &Workspace, file: &SourceFile) -> Vec<Finding> {
    let drawn = drawn_arrows(file);
    let mut findings = Vec::new();
    for (name, package) in &workspace.packages {
        let real = workspace.arrows_from(package);
        let Some(drawn) = drawn.get(name.as_str()) else {
            findings.push(Finding::failure(FILE, format!("no arrows are drawn for `{name}`")));
            continue;
        };
        for missing in real.iter().filter(|to| !drawn.contains(to.as_str())) {
            let text = format!("the arrow `{name} -> {missing}` is not drawn");
            findings.push(Finding::failure(FILE, text));
        }
        for extra in drawn.iter().filter(|to| !real.contains(**to)) {
            let text = format!("the arrow `{name} -> {extra}` is drawn, but does not exist");
            findings.push(Finding::failure(FILE, text));
        }
    }
    findings
}

fn drawn_arrows(file: &SourceFile) -> BTreeMap<&str, BTreeSet<&str>> {
    file.text
        .lines()
        .skip_while(|line| *line != ARROWS_FENCE)
        .skip(1)
        .take_while(|line| !line.starts_with("```"))
        .map(|line| {
            let (from, to) = line.split_once("->").unwrap_or((line, ""));
            (from.trim(), to.split_whitespace().collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_are_read_from_their_block() {
        let text = "a -> b\n```arrows\nmodel\nstore   -> model failpoint\n```\nx -> y\n".to_owned();
        let file = SourceFile { path: FILE.to_owned(), text };
        let expected = [("model", vec![]), ("store", vec!["failpoint", "model"])];
        let expected = expected.map(|(from, to)| (from, to.into_iter().collect()));
        assert_eq!(drawn_arrows(&file), BTreeMap::from(expected));
    }

    #[test]
    fn paths_are_told_from_other_literals() {
        for path in ["crates/model/src/step.rs", ".ci/run", "docs/states.md"] {
            assert!(is_path(path), "{path}");
        }
        for other in ["crates/<name>", "/run/dormouse", "dormouse up", "tests", "model::step"] {
            assert!(!is_path(other), "{other}");
        }
    }
}
