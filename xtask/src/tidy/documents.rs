//! Documents: every relative link leads to a file, and every heading it names is there.

use super::Finding;
use crate::workspace::{SourceFile, Workspace};
use std::path::Path;

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Finding>> {
    let files = workspace.files(".", "md")?;
    Ok(files.iter().flat_map(|file| check_file(&workspace.root, file)).collect())
}

fn check_file(root: &Path, file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut is_code = false;
    for (line, text) in file.lines() {
        is_code ^= text.trim_start().starts_with("```");
        if is_code {
            continue;
        }
        for target in links(text).filter(|target| !leads_somewhere(root, file, target)) {
            let place = format!("{}:{line}", file.path);
            findings.push(Finding::failure(place, format!("the link `{target}` is broken")));
        }
    }
    findings
}

/// Targets of the links in a line that lead into the repository.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

fn leads_somewhere(root: &Path, file: &SourceFile, target: &str) -> bool {
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let from = root.join(&file.path);
    let to = if path.is_empty() { from } else { from.with_file_name(path) };
    match (to.exists(), heading) {
        (false, _) => false,
        (true, "") => true,
        (true, heading) => std::fs::read_to_string(to)
            .is_ok_and(|text| text.lines().any(|line| anchor(line).as_deref() == Some(heading))),
    }
}

/// The anchor of a heading: lower case, spaces as dashes, signs left out.
fn anchor(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').trim().to_lowercase();
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_into_the_repository_are_followed() {
        let line = "See [a](docs/a.md#b), [b](https://example.org) and ![c](c.png).";
        assert_eq!(links(line).collect::<Vec<_>>(), ["docs/a.md#b", "c.png"]);
    }

    #[test]
    fn headings_have_anchors() {
        assert_eq!(anchor("## On disk: `disk.json`").as_deref(), Some("on-disk-diskjson"));
        assert_eq!(anchor("no heading"), None);
    }
}
