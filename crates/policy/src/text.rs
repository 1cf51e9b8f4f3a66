//! Where in a text something is, and what the author may have meant.

use serde::{Deserialize, Serialize};

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Bytes before it.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
}

/// What is wrong with a condition, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TextError {
    /// First byte of the part that is wrong.
    pub start: usize,
    /// Byte after its last one.
    pub end: usize,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl TextError {
    pub(crate) fn new(span: &std::ops::Range<usize>, message: impl Into<String>) -> Self {
        Self { start: span.start, end: span.end, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// Where it begins in `text`, the text that was compiled.
    #[must_use]
    pub fn position(&self, text: &str) -> Position {
        let offset = floor_char(text, self.start);
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Position {
            offset,
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The line it is in, and a second one with carets under the part that is wrong.
    #[must_use]
    pub fn excerpt(&self, text: &str) -> String {
        let place = self.position(text);
        let line = text.lines().nth(place.line - 1).unwrap_or_default();
        let shown: String = line.chars().take(EXCERPT_CHARS_MAX).map(printable).collect();
        let part = &text[place.offset..floor_char(text, self.end).max(place.offset)];
        let room = EXCERPT_CHARS_MAX.saturating_sub(place.column - 1).max(1);
        let width = part.lines().next().unwrap_or_default().chars().count().clamp(1, room);
        let indent = (place.column - 1).min(EXCERPT_CHARS_MAX);
        format!("{shown}\n{:indent$}{}", "", "^".repeat(width))
    }
}

/// Width of an excerpt: a condition may be one line of 1 KiB.
const EXCERPT_CHARS_MAX: usize = 1024;

fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// The last character boundary at or before `offset`.
fn floor_char(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// "did you mean `…`?", when one of `candidates` is close to `word`.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= WORD_BYTES_MAX && word.len() <= WORD_BYTES_MAX)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// Longest word that is compared with others.
const WORD_BYTES_MAX: usize = 160;

/// Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if is_swap {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_slip_is_guessed() {
        let names = ["inbox.depth", "inbox.oldest_s", "intent.phase"];
        let guess = |word| did_you_mean(word, names);
        assert_eq!(guess("inbox.dpeth").as_deref(), Some("did you mean `inbox.depth`?"));
        assert_eq!(guess("intent.Phase").as_deref(), Some("did you mean `intent.phase`?"));
        assert_eq!(guess("weather"), None);
    }

    #[test]
    fn the_caret_stands_under_the_word() {
        let text = "a &&\nµµ wrong";
        let at = text.find("wrong").expect("it is there");
        let error = TextError::new(&(at..at + 5), "no");
        assert_eq!(error.position(text), Position { offset: at, line: 2, column: 4 });
        assert_eq!(error.excerpt(text), "µµ wrong\n   ^^^^^");
    }

    #[test]
    fn a_place_outside_the_text_is_its_end() {
        let error = TextError::new(&(90..99), "no");
        assert_eq!(error.position("µ").offset, 2);
        assert_eq!(error.excerpt("µ"), "µ\n ^");
    }
}
