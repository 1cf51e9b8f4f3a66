//! The words of the command line, taken one by one.

use crate::failure::Failure;
use crate::help;
use crate::when;
use std::str::FromStr;
use std::time::Duration;

/// The words after the verb.
#[derive(Debug)]
pub(crate) struct Words {
    verb: &'static str,
    options: Vec<(String, Option<String>)>,
    plain: std::collections::VecDeque<String>,
}

impl Words {
    /// Sorts `words` into options and plain ones. `with_value` are the options that take one, which
    /// follows `=` or is the next word; after `--` every word is plain, and `-` always is.
    pub(crate) fn sort(
        verb: &'static str,
        with_value: &[&str],
        words: impl IntoIterator<Item = String>,
    ) -> Result<Self, Failure> {
        let mut sorted =
            Self { verb, options: Vec::new(), plain: std::collections::VecDeque::new() };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some("") => {
                    sorted.plain.extend(words);
                    break;
                }
                Some(option) => {
                    let (name, mut value) = match option.split_once('=') {
                        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                        None => (option.to_owned(), None),
                    };
                    if with_value.contains(&name.as_str()) && value.is_none() {
                        value = words.next();
                        if value.is_none() {
                            return Err(sorted.wrong(format!("`--{name}` needs a value")));
                        }
                    }
                    sorted.options.push((name, value));
                }
                None => sorted.plain.push_back(word),
            }
        }
        Ok(sorted)
    }

    /// The value of an option.
    pub(crate) fn option(&mut self, name: &str) -> Option<String> {
        let at = self.options.iter().position(|(n, value)| n == name && value.is_some())?;
        self.options.remove(at).1
    }

    /// Whether an option without a value is there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let at = self.options.iter().position(|(n, value)| n == name && value.is_none());
        at.map(|at| self.options.remove(at)).is_some()
    }

    /// The value of an option, as a number.
    pub(crate) fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.option(name) else { return Ok(None) };
        let wrong = || self.wrong(format!("`--{name} {text}` is no number that fits"));
        text.parse().map(Some).map_err(|_no_number| wrong())
    }

    /// The value of an option, as a span.
    pub(crate) fn span(&mut self, name: &str) -> Result<Option<Duration>, Failure> {
        let Some(text) = self.option(name) else { return Ok(None) };
        let wrong = || Failure::usage(format!("`--{name} {text}` is no span"), when::SPAN_FORMS);
        when::span(&text).map(Some).ok_or_else(wrong)
    }

    /// The value of an option, as a moment.
    pub(crate) fn moment(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let Some(text) = self.option(name) else { return Ok(None) };
        let wrong =
            || Failure::usage(format!("`--{name} {text}` is no moment"), when::MOMENT_FORMS);
        when::moment(&text, when::now_s()).map(Some).ok_or_else(wrong)
    }

    /// The next plain word.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.plain.pop_front()
    }

    /// The next plain word, which must be there.
    pub(crate) fn need(&mut self, what: &str) -> Result<String, Failure> {
        self.next().ok_or_else(|| self.wrong(format!("`{}` needs {what}", self.verb)))
    }

    /// All plain words that are left.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.plain.drain(..).collect()
    }

    /// Nothing may be left.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        if let Some((name, _)) = self.options.first() {
            return Err(
                self.wrong(format!("`{}` has no option `--{name}` of this form", self.verb))
            );
        }
        match self.plain.front() {
            Some(word) => Err(self.wrong(format!("`{word}` is one word too many"))),
            None => Ok(()),
        }
    }

    /// These words are wrong; the hint is how the verb is used.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> Failure {
        Failure::usage(message, help::usage(self.verb))
    }
}
