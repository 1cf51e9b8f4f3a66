//! Words: those of the glossary are used, and their rivals are not.

use super::Finding;
use crate::workspace::{SourceFile, Workspace};

const GLOSSARY_FILE: &str = "ARCHITECTURE.md";

/// Heading of the glossary's table.
const GLOSSARY_HEADING: &str = "## Glossary";

/// Rivals of the glossary's words, in lower case, and what to say instead.
const RIVALS: [(&str, &str); 9] = [
    ("guest memory", "RAM"),
    ("memory limit", "RAM limit"),
    ("memory usage", "RAM use"),
    ("hibernat", "suspend"),
    ("blacklist", "deny list"),
    ("whitelist", "allow list"),
    ("microservice", "machine"),
    ("rootfs layer", "disk"),
    ("container instance", "machine"),
];

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Finding>> {
    let sources = workspace.files("crates", "rs")?;
    let documents = workspace.files(".", "md")?;
    let mut findings = unused_words(&documents, &sources);
    findings.extend(sources.iter().chain(&documents).flat_map(rivals));
    Ok(findings)
}

fn rivals(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in file.lines().filter(|(_, text)| is_prose(file, text)) {
        let text = text.to_lowercase();
        for (rival, word) in RIVALS.iter().filter(|(rival, _)| text.contains(rival)) {
            let place = format!("{}:{line}", file.path);
            findings.push(Finding::failure(place, format!("say `{word}`, not `{rival}`")));
        }
    }
    findings
}

/// Documents are prose; of a Rust file only the comments are.
fn is_prose(file: &SourceFile, line: &str) -> bool {
    file.path.ends_with(".md") || line.trim_start().starts_with("//")
}

/// Words of the glossary that the code never uses: a word nobody needs, or a word with a rival.
fn unused_words(documents: &[SourceFile], sources: &[SourceFile]) -> Vec<Finding> {
    let Some(file) = documents.iter().find(|file| file.path == GLOSSARY_FILE) else {
        return vec![Finding::failure(GLOSSARY_FILE, "is missing")];
    };
    let words = glossary(&file.text);
    if words.is_empty() {
        return vec![Finding::failure(GLOSSARY_FILE, "has no glossary")];
    }
    let is_used = |word: &str| sources.iter().any(|file| file.text.to_lowercase().contains(word));
    words
        .into_iter()
        .filter(|word| !is_used(word))
        .map(|word| Finding::failure(GLOSSARY_FILE, format!("no code uses the word `{word}`")))
        .collect()
}

/// The words in the first column of the glossary's table, in lower case.
fn glossary(text: &str) -> Vec<String> {
    text.lines()
        .skip_while(|line| *line != GLOSSARY_HEADING)
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|column| column.split(','))
        .map(|word| word.trim().to_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_glossary_is_the_first_column() {
        let text = "## Glossary\n\n| word | meaning |\n|---|---|\n| Slot, shim | a place |\n\nend";
        assert_eq!(glossary(text), ["slot", "shim"]);
    }

    #[test]
    fn rivals_are_found_in_prose_only() {
        let text = "let a = \"memory limit\";\n// The memory limit.\n".to_owned();
        let file = SourceFile { path: "a.rs".to_owned(), text };
        assert_eq!(rivals(&file).len(), 1);
    }
}
