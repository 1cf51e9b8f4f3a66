//! `dig` in a machine, and what it says.

use crate::guest::Guest;
use std::collections::BTreeSet;

/// The resolver over IPv6 and over IPv4.
pub(crate) const V6: &str = "@fdaa::3";
pub(crate) const V4: &str = "@169.254.1.1";

/// What `dig` has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// `NOERROR`, `NXDOMAIN`, …
    pub(crate) status: String,
    /// The data of the answers, sorted.
    pub(crate) answers: BTreeSet<String>,
    /// All of it.
    pub(crate) text: String,
}

/// Asks once, for an answer within the longest time that a busy host needs.
#[track_caller]
pub(crate) fn dig(guest: &Guest, words: &[&str]) -> Heard {
    let mut all = vec!["dig", "+tries=1", "+time=30"];
    all.extend_from_slice(words);
    let output = guest.run(&all);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let status = text
        .split("status: ")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .unwrap_or_else(|| panic!("no answer to {words:?}: {text}"));
    let answers = text
        .split(";; ANSWER SECTION:\n")
        .nth(1)
        .and_then(|rest| rest.split("\n\n").next())
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(4).map(|first| (line, first)))
        .map(|(line, first)| line[line.find(first).unwrap_or(0)..].trim().to_owned());
    Heard { status: status.to_owned(), answers: answers.collect(), text: text.clone() }
}

/// Checks what a name stands for.
#[track_caller]
pub(crate) fn check(guest: &Guest, words: &[&str], status: &str, answers: &[&str]) {
    let heard = dig(guest, &[&[V6], words].concat());
    let expected: BTreeSet<String> = answers.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!((heard.status.as_str(), &heard.answers), (status, &expected), "{}", heard.text);
}

/// Waits until a name stands for this: the resolver hears of changes in a moment.
#[track_caller]
pub(crate) fn becomes(guest: &Guest, words: &[&str], status: &str, answers: &[&str]) {
    let expected: BTreeSet<String> = answers.iter().map(|text| (*text).to_owned()).collect();
    testkit::eventually(&format!("{words:?} is {status} {answers:?}"), || {
        let heard = dig(guest, &[&[V6], words].concat());
        (heard.status == status && heard.answers == expected).then_some(())
    });
}
