//! A command line split into words as a shell would: for the old `cmd` text of an exec.

/// Splits `line` at blanks; `'…'` and `"…"` keep them, `\` keeps the next character.
///
/// Nothing is expanded. `None` when a quote stays open.
#[must_use]
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => take_until(&mut chars, '\'', false, word.get_or_insert_default())?,
            '"' => take_until(&mut chars, '"', true, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

fn take_until(
    chars: &mut std::str::Chars<'_>,
    quote: char,
    has_escapes: bool,
    into: &mut String,
) -> Option<()> {
    loop {
        match chars.next()? {
            c if c == quote => return Some(()),
            '\\' if has_escapes => match chars.next()? {
                c @ ('"' | '\\' | '$' | '`') => into.push(c),
                c => into.extend(['\\', c]),
            },
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[track_caller]
    fn check(line: &str, words: &[&str]) {
        assert_eq!(split(line).expect(line), words, "{line}");
    }

    #[test]
    fn lines_split_as_in_a_shell() {
        check("", &[]);
        check("  ls   -l ", &["ls", "-l"]);
        check("sh -c 'echo \"a b\"'", &["sh", "-c", "echo \"a b\""]);
        check(r#"echo "a \"b\" \n""#, &["echo", r#"a "b" \n"#]);
        check(r"a\ b ''", &["a b", ""]);
        check("pre'fix ed'", &["prefix ed"]);
        assert_eq!(split("echo 'open"), None);
        assert_eq!(split("echo \\"), None);
    }
}
