//! Dependencies: each says why it is there, and each is used.

use super::Finding;
use crate::workspace::{Package, SourceFile, Workspace};
use std::collections::BTreeSet;

const ROOT_MANIFEST: &str = "Cargo.toml";

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Finding>> {
    let root = SourceFile::read(&workspace.root, &workspace.root.join(ROOT_MANIFEST))?;
    let declared = declared(&root);
    let mut findings = unexplained(&declared);
    findings.extend(unused(workspace, &declared));
    for (name, package) in &workspace.packages {
        findings.extend(unmentioned(workspace, name, package)?);
    }
    Ok(findings)
}

/// A line of `[workspace.dependencies]`.
struct Declared<'a> {
    line: usize,
    name: &'a str,
    is_ours: bool,
    /// The comment above it and its neighbours.
    comment: String,
}

fn declared(root: &SourceFile) -> Vec<Declared<'_>> {
    let mut comment = String::new();
    let mut is_in_table = false;
    let mut is_after_dependency = false;
    let mut found = Vec::new();
    for (line, text) in root.lines() {
        if text.starts_with('[') {
            is_in_table = text == "[workspace.dependencies]";
        } else if let Some(words) = text.strip_prefix('#') {
            if is_after_dependency {
                comment.clear();
            }
            comment.push_str(words);
            is_after_dependency = false;
        } else if let Some((name, value)) = text.split_once('=').filter(|_| is_in_table) {
            is_after_dependency = true;
            let is_ours = value.contains("path =");
            found.push(Declared { line, name: name.trim(), is_ours, comment: comment.clone() });
        }
    }
    found
}

fn unexplained(declared: &[Declared<'_>]) -> Vec<Finding> {
    let foreign = declared.iter().filter(|d| !d.is_ours);
    foreign
        .filter(|d| !d.comment.contains(d.name))
        .map(|d| {
            let place = format!("{ROOT_MANIFEST}:{}", d.line);
            Finding::failure(place, format!("`{}` has no comment that says why", d.name))
        })
        .collect()
}

fn unused(workspace: &Workspace, declared: &[Declared<'_>]) -> Vec<Finding> {
    let used: BTreeSet<&str> = workspace
        .packages
        .values()
        .flat_map(|package| package.dependencies.iter().map(|d| d.name.as_str()))
        .collect();
    let idle = declared.iter().filter(|d| !used.contains(d.name));
    idle.map(|d| {
        let place = format!("{ROOT_MANIFEST}:{}", d.line);
        Finding::failure(place, format!("no package depends on `{}`", d.name))
    })
    .collect()
}

/// Dependencies of a package whose name occurs nowhere in its code.
fn unmentioned(
    workspace: &Workspace,
    name: &str,
    package: &Package,
) -> anyhow::Result<Vec<Finding>> {
    let dir = package.dir.strip_prefix(&workspace.root)?.display().to_string();
    let files = workspace.files(&dir, "rs")?;
    let is_mentioned = |dependency: &str| {
        let word = dependency.replace('-', "_");
        files.iter().any(|file| file.text.contains(&word))
    };
    let idle = package.dependencies.iter().filter(|d| !is_mentioned(&d.name));
    Ok(idle
        .map(|d| {
            let place = format!("{dir}/Cargo.toml");
            Finding::failure(place, format!("`{name}` does not use `{}`", d.name))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_speaks_for_the_lines_below_it() {
        let text = "[workspace.dependencies]\n\
             # our own rooms\n\
             model = { path = \"crates/model\" }\n\
             # serde, serde_json: records\n\
             serde = \"1\"\n\
             serde_json = \"1\"\n\
             tar = \"0.4\"\n\
             [profile.release]\n\
             debug = true\n";
        let root = SourceFile { path: ROOT_MANIFEST.to_owned(), text: text.to_owned() };
        let declared = declared(&root);
        let names: Vec<_> = declared.iter().map(|d| d.name).collect();
        assert_eq!(names, ["model", "serde", "serde_json", "tar"]);
        let findings = unexplained(&declared);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].place, "Cargo.toml:7");
    }
}
